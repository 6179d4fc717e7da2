import { setTimeout as sleep } from 'node:timers/promises'
import { kindInternalsOf } from './internals.ts'
import { bulk } from './kind.ts'
import type { Space } from './space.ts'
import { textOf } from './text-of.ts'
import { warmEntry, type Warm } from './warm.ts'

/** What one run of a job has done, while it runs and after. */
export type WarmingRun = {
  readonly job: string
  /**
   * `paused`: it waits for Redis, or for loads of readers. `stopped`: by an operator, or its process lost the duty.
   * `interrupted`: its process ended; like one that has failed it is done again within a minute.
   */
  readonly state: 'running' | 'paused' | 'done' | 'stopped' | 'interrupted' | 'failed'
  /** Milliseconds since 1970, by Redis' clock. */
  readonly startedAtMs: number
  readonly durationMs: number
  /** Entries that the job named so far, and what became of them; see `WarmOutcome`. */
  readonly found: number
  readonly warmed: number
  readonly present: number
  readonly skipped: number
  /** Entries whose load failed, every retry too. */
  readonly failed: number
  /** The last error: why the run failed, or why one of its entries did. */
  readonly error?: string
}

export type Found = AsyncIterable<Warm> | Iterable<Warm>

export type RunOptions = {
  space: Space
  job: string
  find: (signal: AbortSignal) => Found | Promise<Found>
  batch: number
  concurrency: number
  retries: number
  signal: AbortSignal
}

/** Why a run is ended whose process ends. */
export const closing = Symbol('closing')

type Progress = { -readonly [K in keyof WarmingRun]: WarmingRun[K] }

const lookMs = 100
const firstBackoffMs = 100

/**
 * One run of a job: takes what it finds in batches, and warms each with a few loads at once, or with one call of
 * `loadMany`. It gives way: while Redis is away, or loads of readers wait for their turn, it stands still.
 */
export function beginRun(options: RunOptions): {
  progress: () => WarmingRun
  done: Promise<WarmingRun>
} {
  const { space, job, find, batch, concurrency, retries, signal } = options
  const [shard] = space.channel.shards
  const startedMs = space.now()
  const run: Progress = {
    job,
    state: 'running',
    startedAtMs: Math.round(shard?.clock.nowMs() ?? 0),
    durationMs: 0,
    found: 0,
    warmed: 0,
    present: 0,
    skipped: 0,
    failed: 0,
  }
  const progress = (): WarmingRun => ({ ...run, durationMs: Math.round(space.now() - startedMs) })

  const stateOfAbort = () => (signal.reason === closing ? 'interrupted' : 'stopped')

  const mayGoOn = () =>
    space.enabled &&
    space.loads.waiting === 0 &&
    space.channel.shards.every(({ available, settled }) => available && settled)

  async function untilFree(): Promise<void> {
    while (!mayGoOn()) {
      run.state = 'paused'
      await sleep(lookMs, undefined, { signal })
    }
    signal.throwIfAborted()
    run.state = 'running'
  }

  const backOff = (attempt: number) =>
    sleep(firstBackoffMs * 2 ** attempt * (0.5 + space.random() / 2), undefined, { signal })

  async function one(entry: Warm, loadOne?: (args: readonly unknown[]) => unknown) {
    try {
      run[await warmEntry(entry, loadOne)]++
      return true
    } catch (cause) {
      run.error = textOf(cause)
      return false
    }
  }

  /** Warms them; those that failed. */
  async function attempt(entries: readonly Warm[]): Promise<Warm[]> {
    const failed: Warm[] = []
    const singly: Warm[] = []
    const together = new Map<object, Warm[]>()
    for (const entry of entries) {
      const { plan } = kindInternalsOf(entry.kind)
      if (!plan.loadMany) singly.push(entry)
      else together.set(plan, [...(together.get(plan) ?? []), entry])
    }
    for (const group of together.values()) {
      await untilFree()
      const { loadMany } = kindInternalsOf((group[0] as Warm).kind).plan
      const loadOne = bulk((args: readonly (readonly unknown[])[]) => loadMany!(args as never))
      const results = await Promise.all(group.map((entry) => one(entry, loadOne)))
      failed.push(...group.filter((_, at) => !results[at]))
    }
    const left = singly.values()
    const worker = async () => {
      for (const entry of left) {
        await untilFree()
        if (!(await one(entry))) failed.push(entry)
      }
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
    return failed
  }

  async function warmBatch(entries: readonly Warm[]): Promise<void> {
    run.found += entries.length
    let failed = await attempt(entries)
    for (let retry = 0; retry < retries && failed.length > 0; retry++) {
      await backOff(retry)
      failed = await attempt(failed)
    }
    run.failed += failed.length
  }

  async function findWithRetries(): Promise<Found> {
    for (let retry = 0; ; retry++) {
      try {
        return await find(signal)
      } catch (cause) {
        if (retry >= retries) throw cause
        run.error = textOf(cause)
        await backOff(retry)
      }
    }
  }

  async function work(): Promise<WarmingRun> {
    try {
      await untilFree()
      let entries: Warm[] = []
      for await (const entry of await findWithRetries()) {
        if (entries.push(entry) < batch) continue
        await warmBatch(entries)
        entries = []
      }
      await warmBatch(entries)
      run.state = 'done'
    } catch (cause) {
      run.state = signal.aborted ? stateOfAbort() : 'failed'
      if (!signal.aborted) run.error = textOf(cause)
    }
    return progress()
  }

  /** Who ends it does not wait for loads that are under way: what they bring does no harm. */
  const ended = new Promise<WarmingRun>((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        run.state = stateOfAbort()
        resolve(progress())
      },
      { once: true },
    )
  })
  return { progress, done: Promise.race([work(), ended]) }
}
