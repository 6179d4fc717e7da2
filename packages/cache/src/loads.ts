import { depthOf, Frame, loadIn, type Awaited } from './frames.ts'

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
  readonly within?: Frame | undefined
  /** What is loaded. */
  readonly entry?: string
  /** Before it begins: the load of the same entry in this process that has the lease. */
  readonly behind?: Load | undefined
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
 * have those that these wait for: if all shared the same, as many loaders as there are places would wait for ever. What a
 * deeper one comes to wait for, and all that this waits for, counts as deeper than that one from then on. So nothing in a
 * queue is waited for by who has a place of that depth, and since nobody may wait for itself, the deepest goes on.
 */
export function createLoads({ most, now }: { most: number; now: () => number }) {
  if (!(most >= 1)) throw new RangeError(`loads of a cache is ${most}: give a number from 1 up`)
  /** Where each has its place, or waits for one; it has begun when there is a frame. */
  const running = new Map<Load, { readonly level: Level; frame?: Frame }>()
  const levels: Level[] = []
  let timer: NodeJS.Timeout | undefined

  const levelAt = (depth: number) => (levels[depth] ??= { depth, active: 0, queue: [] })

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

  const loadOf = ({ loading }: Awaited) => loading?.behind ?? loading

  /** It waits for no place of a load that waits for it, nor does what it waits for. */
  function deepen(awaited: Awaited, frame: Frame): void {
    if (!awaited.within || awaited.within.depth < frame.depth) awaited.within = frame
    const loading = loadOf(awaited)
    const state = loading && running.get(loading)
    if (!state) return
    if (!state.frame && state.level.depth <= frame.depth) begin(loading)
    const own = state.frame
    if (!own || own.depth > frame.depth) return
    own.depth = frame.depth + 1
    for (const next of own.awaits) deepen(next, own)
  }

  function waitsFor(awaited: Awaited, frame: Frame): boolean {
    const seen = new Set([awaited])
    for (const one of seen) {
      const loading = loadOf(one)
      const own = loading && running.get(loading)?.frame
      if (own === frame) return true
      for (const next of own?.awaits ?? []) seen.add(next)
    }
    return false
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
      const level = levelAt(depthOf(one))
      running.set(one, { level })
      if (level.active < most) begin(one)
      else level.queue.push(one)
    },
    /** Who loads the entry in this process, if anybody does. */
    holderOf(entry: string): Load | undefined {
      for (const one of running.keys()) if (one.entry === entry) return one
      return undefined
    },
    /** A loader is about to wait for it. False when it would wait for itself. */
    awaitedIn(frame: Frame, awaited: Awaited): boolean {
      if (waitsFor(awaited, frame)) return false
      frame.awaits.add(awaited)
      deepen(awaited, frame)
      return true
    },
  }
}

/** Places, and those who wait for one, of loads as deep as this. */
type Level = { readonly depth: number; active: number; readonly queue: Load[] }

export type Loads = ReturnType<typeof createLoads>

const lookMs = 50
const beatMs = 500
