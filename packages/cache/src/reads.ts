import type { Flight } from './flight.ts'
import type { KindCore, ReadOptions } from './kind-core.ts'
import type { Key } from './kind-name.ts'

/** A read that was picked. */
export type ReadSample = {
  readonly kind: KindCore
  readonly key: Key
  readonly load: () => unknown
  readonly options: ReadOptions | undefined
  /** Of the kind's loader, where the kind has one. */
  readonly args: readonly unknown[] | undefined
}

export type ReadWatcher = {
  /** One read in this many is enough; when others want more of them, there are more. */
  every: number
  /** `weight`: for how many reads the sample stands. Must not throw. */
  read(sample: ReadSample, weight: number): void
  /** Each miss, by the flight that answered it for `callers` callers. */
  missed?(flight: Flight): void
}

/** While nobody watches: small enough to stay a small integer for the engine. */
const idle = 2 ** 30 - 1

/**
 * Shows some of the reads to who watches them. A read pays for one decrement; the distance to the next sample is drawn
 * at random, so that a pattern in the reads does not hide from it.
 */
export class Reads {
  /** Reads until the next sample. The hot path counts it down; below 0 it calls `take`. */
  left = idle
  #every = 0
  readonly #random: () => number
  readonly #watchers = new Set<ReadWatcher>()

  constructor(random: () => number) {
    this.#random = random
  }

  /** Returns what ends it. */
  watch(watcher: ReadWatcher): () => void {
    this.#watchers.add(watcher)
    this.#reset()
    return () => {
      this.#watchers.delete(watcher)
      this.#reset()
    }
  }

  take(sample: ReadSample): void {
    const weight = this.#every
    this.#draw()
    for (const watcher of this.#watchers) watcher.read(sample, weight)
  }

  missed(flight: Flight): void {
    for (const watcher of this.#watchers) watcher.missed?.(flight)
  }

  #reset(): void {
    this.#every = Math.min(...[...this.#watchers].map(({ every }) => every))
    this.#draw()
  }

  #draw(): void {
    const every = this.#every
    this.left = Number.isFinite(every) ? Math.floor(this.#random() * (2 * every - 1)) : idle
  }
}

export const createReads = (random: () => number) => new Reads(random)
