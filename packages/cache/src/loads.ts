import { depthOf, Frame, loadIn } from './frames.ts'

/** A loader took longer than the kind's hard timeout. The load itself cannot be stopped; its value is not kept. */
export class LoadTimeoutError extends Error {
  override readonly name = 'LoadTimeoutError'
  readonly code = 'load_timeout'
}

/** One load: what is run, and who is told. Two fields are the runner's own. */
export interface Load {
  /** For the message of a time-out. */
  readonly kind: string
  readonly timeoutMs: number
  load(): unknown
  loaded(value: unknown): void
  failed(cause: unknown): void
  /** The load whose loader waits for this one. */
  readonly within: Frame | undefined
  /** Called twice a second while it lasts. */
  beat?(): void
  endsAtMs: number
  nextBeatMs: number
}

/**
 * Runs loaders, no more than `most` at once: while Redis is away every read is a load, and the source must not be
 * overrun. Who has to wait does so in order; waiting counts towards the timeout.
 *
 * A loader may read what is cached under another kind. Loads that loaders wait for have as many places of their own, and so
 * have those that these wait for: if all shared the same, as many loaders as there are places would wait for ever. A load
 * that has begun, and that a deeper one comes to wait for, counts as deeper than that one from then on.
 */
export function createLoads({ most, now }: { most: number; now: () => number }) {
  if (!(most >= 1)) throw new RangeError(`loads of a cache is ${most}: give a number from 1 up`)
  /** Where each has its place, or waits for one; it has begun when there is a frame. */
  const running = new Map<Load, { readonly level: Level; frame?: Frame }>()
  /** By depth. */
  const levels: Level[] = []
  let timer: NodeJS.Timeout | undefined

  /** One timer for all loads, while there are any: one for each would cost more than the load of a cheap source. */
  function look(): void {
    const nowMs = now()
    for (const one of running.keys()) {
      if (nowMs >= one.endsAtMs) giveUp(one)
      else if (nowMs >= one.nextBeatMs) {
        one.nextBeatMs = nowMs + beatMs
        one.beat?.()
      }
    }
    if (running.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  function giveUp(one: Load): void {
    // Its place is given to others: a loader that never ends must not keep it for ever.
    settled(one)
    one.failed(
      new LoadTimeoutError(
        `the load of ${one.kind} took longer than ${one.timeoutMs} ms: its source is slow, or its hardTimeout short`,
      ),
    )
  }

  /** Whether it was not given up before. */
  function settled(one: Load): boolean {
    const state = running.get(one)
    running.delete(one)
    if (state?.frame) leave(state.level)
    return state !== undefined
  }

  function leave(level: Level): void {
    level.active--
    while (level.active < most) {
      const next = level.queue.shift()
      if (!next) return
      // It may have been given up, or begun, while it waited.
      if (isQueued(next)) begin(next)
    }
  }

  const isQueued = (one: Load) => running.get(one)?.frame === undefined && running.has(one)

  function begin(one: Load): void {
    const state = running.get(one)
    if (!state) return
    const frame = new Frame(one)
    state.frame = frame
    state.level.active++
    loadIn(frame, one).then(
      (value) => {
        if (settled(one)) one.loaded(value)
      },
      (cause: unknown) => {
        if (settled(one)) one.failed(cause)
      },
    )
  }

  /** What it waits for must not wait for a place that is taken, maybe, by who waits for it now. */
  function deepen(one: Load, depth: number): void {
    const frame = running.get(one)?.frame
    if (!frame || frame.depth >= depth) return
    frame.depth = depth
    const deeper = new Set([frame])
    // A loader's loads come after its own.
    for (const [other, { frame: own }] of running) {
      if (!other.within || !deeper.has(other.within)) continue
      if (!own) begin(other)
      else {
        own.depth = Math.max(own.depth, depthOf(other))
        deeper.add(own)
      }
    }
  }

  return {
    get waiting() {
      return levels.reduce((sum, { queue }) => sum + queue.length, 0)
    },
    /** Calls `loaded` or `failed` once. */
    run(one: Load): void {
      const startedMs = now()
      one.endsAtMs = startedMs + one.timeoutMs
      one.nextBeatMs = startedMs + beatMs
      timer ??= setInterval(look, lookMs).unref()
      const level = (levels[depthOf(one)] ??= { active: 0, queue: [] })
      running.set(one, { level })
      if (level.active < most) begin(one)
      else level.queue.push(one)
    },
    /** A loader is about to wait for it, so it must not wait for a place. False when it would wait for itself. */
    awaitedIn(frame: Frame, one: Load): boolean {
      if (frame.has(one)) return false
      if (isQueued(one)) begin(one)
      deepen(one, frame.depth + 1)
      return true
    },
  }
}

type Level = { active: number; readonly queue: Load[] }

export type Loads = ReturnType<typeof createLoads>

const lookMs = 50
const beatMs = 500
