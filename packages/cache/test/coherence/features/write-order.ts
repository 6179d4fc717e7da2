import type { Commit, History, Invalidation, ReadBatch } from '../history.ts'
import type { Facts } from './facts.ts'

type Change = { version: number; atMs: number }

/**
 * The history with the changes of rows that are written behind numbered in the order of their acceptance, so that
 * "older" is "smaller" for them too. A put that resolved counts as an invalidation that resolved: from then on nobody
 * reads what was before. A value that was read and whose place is not known (its put got no answer, and a newer
 * change overtook it on its way to the source) says nothing, and its read is left out.
 */
export function inOrderOfAcceptance(history: History, { puts, deliveries }: Facts): History {
  const changes = new Map<number, Map<number, Change>>()
  for (const { row, value, version, atMs } of [...puts, ...deliveries]) {
    const ofRow = changes.get(row) ?? new Map<number, Change>()
    const known = ofRow.get(value)
    ofRow.set(value, { version, atMs: Math.min(atMs, known?.atMs ?? Infinity) })
    changes.set(row, ofRow)
  }
  /** The first is the value that was there from the beginning. */
  const places = new Map<number, Map<number, number>>()
  const commits: Commit[] = []
  for (const [row, ofRow] of changes) {
    const inOrder = [...ofRow].toSorted(([, a], [, b]) => a.version - b.version)
    places.set(row, new Map([[1, 1], ...inOrder.map(([value], at) => [value, at + 2] as const)]))
    for (const [at, [, { atMs }]] of inOrder.entries()) commits.push({ row, version: at + 2, atMs })
  }
  const placeOf = (row: number, value: number) => places.get(row)?.get(value)
  const invalidations = puts.flatMap(({ process, row, value, outcome, atMs }): Invalidation[] => {
    const version = placeOf(row, value)
    return version === undefined ? [] : [{ process, row, version, outcome, atMs }]
  })

  function placed(batch: ReadBatch): ReadBatch {
    if (!batch.row.some((row) => history.rows[row]?.behind)) return batch
    const version = batch.version.slice()
    const token = batch.token.slice()
    const known: number[] = []
    for (const [at, row] of batch.row.entries()) {
      if (!history.rows[row]?.behind) {
        known.push(at)
        continue
      }
      const value = batch.version[at] ?? 0
      const place = value === 1 ? 1 : placeOf(row, value)
      if (place === undefined) continue
      version[at] = place
      token[at] = placeOf(row, batch.token[at] ?? 0) ?? 0
      known.push(at)
    }
    const pick = <T extends Int32Array | Float64Array | Uint8Array>(column: T): T =>
      column.filter((_, at) => wanted.has(at)) as T
    const wanted = new Set(known)
    return {
      process: batch.process,
      row: pick(batch.row),
      version: pick(version),
      startMs: pick(batch.startMs),
      endMs: pick(batch.endMs),
      origin: pick(batch.origin),
      alone: pick(batch.alone),
      token: pick(token),
    }
  }

  return {
    ...history,
    commits: [...history.commits, ...commits],
    invalidations: [...history.invalidations, ...invalidations],
    reads: history.reads.map(placed),
  }
}
