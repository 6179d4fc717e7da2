/** Histories for the tests of the checker: one write of row 0, at 1,000 ms, whose invalidation resolved at 1,010 ms. */
import { origins, type Bounds, type History, type Origin, type Phase } from './history.ts'

export const calm: Bounds = { lagMs: 1_000, deferredMs: 5_000 }
export const phase = (name: string, fromMs: number, more: Partial<Phase> = {}): Phase => ({
  name,
  fromMs,
  healedMs: fromMs,
  toMs: fromMs + 60_000,
  bounds: calm,
  thawed: [],
  load: undefined,
  audit: { agreedAfterMs: 10, differing: [] },
  ...more,
})

export type OneRead = {
  at: number
  version: number
  process?: number
  row?: number
  origin?: Origin
  alone?: boolean
  token?: number
  took?: number
}

const read = ({ at, version, process = 1, row = 0, origin = 'l2', ...rest }: OneRead) => ({
  process,
  row: Int32Array.of(row),
  version: Int32Array.of(version),
  startMs: Float64Array.of(at),
  endMs: Float64Array.of(at + (rest.took ?? 1)),
  origin: Uint8Array.of(origins.indexOf(origin)),
  alone: Uint8Array.of((rest.alone ?? true) ? 1 : 0),
  token: Int32Array.of(rest.token ?? 0),
})

export const history = (reads: OneRead[], more: Partial<History> = {}): History => ({
  rows: [
    { kind: 'strict', strict: true, tagsInTurn: 1 },
    { kind: 'ordinary', strict: false, tagsInTurn: 1 },
  ],
  commits: [{ row: 0, version: 2, atMs: 1_000 }],
  invalidations: [{ process: 0, row: 0, version: 2, outcome: 'applied', atMs: 1_010 }],
  reads: reads.map(read),
  phases: [phase('calm', 0)],
  late: [],
  broken: [],
  ...more,
})
