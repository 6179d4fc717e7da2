import { origins, type History, type Invalidation, type Origin, type ReadBatch } from './history.ts'
import { clockMs } from './clock.ts'
import { mostMsOfACall } from './process-checks.ts'

const tickMs = 50
/** A pause of the event loop of more than this is the process being stopped, and no call is to blame. */
const stallMs = 250

/** Notes in one process what it reads and invalidates, and which of its calls do not settle. */
export function createRecorder(process: number) {
  let reads: {
    row: number
    version: number
    startMs: number
    endMs: number
    origin: Origin
    alone: boolean
    token: number
  }[] = []
  let invalidations: Invalidation[] = []
  let late: History['late'][number][] = []
  const underWay = new Map<object, { what: string; sinceMs: number; stalledMs: number }>()
  const reading = new Map<number, number>()
  let stalledMs = 0
  let lastTick = clockMs()
  /** How long this process has been stopped so far, the stop that is just over included. */
  function stalledSoFar(): number {
    const gap = clockMs() - lastTick
    return gap > stallMs ? stalledMs + gap : stalledMs
  }
  const ticker = setInterval(() => {
    stalledMs = stalledSoFar()
    lastTick = clockMs()
  }, tickMs)

  /**
   * When a read that is made now counts as begun: now; or, where the process was stopped in the middle of a turn of its event
   * loop, when the turn began. The cache looks at the clock once for a few reads of one turn, and a caller that had got
   * the value a moment earlier would have been stopped with it all the same.
   */
  let turnBeganMs: number | undefined
  function beginning(): number {
    const now = clockMs()
    if (turnBeganMs === undefined) {
      turnBeganMs = now
      setImmediate(() => (turnBeganMs = undefined))
    }
    return now - turnBeganMs > stallMs ? turnBeganMs : now
  }

  /** Settles like `call`. One that takes too long is reported, also while it has not settled yet. */
  async function track<T>(what: string, call: () => Promise<T>): Promise<T> {
    const id = {}
    underWay.set(id, { what, sinceMs: clockMs(), stalledMs: stalledSoFar() })
    try {
      return await call()
    } finally {
      noteLate(id)
      underWay.delete(id)
    }
  }

  function noteLate(id: object): void {
    const one = underWay.get(id)
    if (!one) return
    const ms = clockMs() - one.sinceMs - (stalledSoFar() - one.stalledMs)
    if (ms <= mostMsOfACall) return
    late.push({ process, what: one.what, ms, atMs: one.sinceMs })
    // Once for each call.
    underWay.delete(id)
  }

  return {
    track,
    /** Reads rows in one call and notes what came. */
    async read(
      what: string,
      rows: readonly number[],
      token: number,
      call: () => Promise<readonly { version: number; origin: Origin }[]>,
    ): Promise<void> {
      const alone = rows.map((row) => (reading.get(row) ?? 0) === 0)
      for (const row of rows) reading.set(row, (reading.get(row) ?? 0) + 1)
      const startMs = beginning()
      try {
        const seen = await track(what, call)
        const endMs = clockMs()
        for (const [index, { version, origin }] of seen.entries()) {
          const row = rows[index] ?? 0
          reads.push({ row, version, startMs, endMs, origin, token, alone: alone[index] ?? false })
        }
      } finally {
        for (const row of rows) reading.set(row, (reading.get(row) ?? 1) - 1)
      }
    },
    invalidated(row: number, version: number, outcome: Invalidation['outcome']): void {
      invalidations.push({ process, row, version, outcome, atMs: clockMs() })
    },
    idle: () => underWay.size === 0,
    /** What was noted since the last call. */
    take() {
      for (const id of underWay.keys()) noteLate(id)
      const batch: ReadBatch = {
        process,
        row: Int32Array.from(reads, ({ row }) => row),
        version: Int32Array.from(reads, ({ version }) => version),
        startMs: Float64Array.from(reads, ({ startMs }) => startMs),
        endMs: Float64Array.from(reads, ({ endMs }) => endMs),
        origin: Uint8Array.from(reads, ({ origin }) => origins.indexOf(origin)),
        alone: Uint8Array.from(reads, ({ alone }) => (alone ? 1 : 0)),
        token: Int32Array.from(reads, ({ token }) => token),
      }
      const taken = { reads: batch, invalidations, late }
      reads = []
      invalidations = []
      late = []
      return taken
    },
    close: () => clearInterval(ticker),
  }
}
