import { recorded as recordedPages, recordedCapacities, zipf } from '../../harness/references.ts'

/** A sequence of keys as a cache is asked for them. Hits are counted from `from` up to `to`. */
export type References = {
  name: string
  capacity: number
  keys: Int32Array
  from: number
  to: number
}

const distinct = 100_000
const skew = 0.9

/** Sequences that were made up: `length` references each, the same for the same seed. */
export function synthetic(length: number, seed: number): References[] {
  const draw = zipf({ distinct, skew, seed })
  const plain = Int32Array.from({ length }, draw)
  const half = length / 2
  const shifted = Int32Array.from({ length }, (_, at) => draw() + (at < half ? 0 : distinct))
  return [distinct / 100, distinct / 10].flatMap((capacity) => {
    const share = `${(100 * capacity) / distinct} % of keys`
    const all = { capacity, from: 0, to: length }
    return [
      { ...all, name: `Zipf ${skew}, ${share}`, keys: plain },
      { ...all, name: `Zipf with scans, ${share}`, keys: withScans(length, capacity, draw) },
      {
        capacity,
        name: `after a shift of popularity, ${share}`,
        keys: shifted,
        from: half,
        to: Math.min(length, half + 10 * capacity),
      },
    ]
  })
}

/** By turns 5 × capacity references by popularity and a scan of 5 × capacity keys that never come again. */
function withScans(length: number, capacity: number, draw: () => number): Int32Array {
  let scanned = distinct
  return Int32Array.from({ length }, (_, at) =>
    Math.floor(at / (5 * capacity)) % 2 === 0 ? draw() : scanned++,
  )
}

/** A recorded trace at several capacities. */
export function recorded(path: string): References[] {
  const keys = recordedPages(path)
  return recordedCapacities.map((capacity) => {
    const name = `recorded trace, ${capacity} pages`
    return { name, capacity, keys, from: 0, to: keys.length }
  })
}
