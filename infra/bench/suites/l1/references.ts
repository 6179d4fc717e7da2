import { readFileSync } from 'node:fs'
import { zstdDecompressSync } from 'node:zlib'
import { randomFrom } from '../../../../packages/testkit/src/random.ts'

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
  const draw = zipf(seed)
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

function zipf(seed: number): () => number {
  const random = randomFrom(seed)
  const upTo = new Float64Array(distinct)
  let total = 0
  for (let rank = 0; rank < distinct; rank++) upTo[rank] = total += 1 / (rank + 1) ** skew
  return () => {
    const at = random.next() * total
    let [low, high] = [0, distinct - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((upTo[middle] ?? total) < at) low = middle + 1
      else high = middle
    }
    return low
  }
}

/**
 * A recorded trace, plain or compressed with Zstandard: a line for each request, which begins with the first page and
 * the number of pages. That is the form of the traces of Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead
 * Replacement Cache" (FAST 2003).
 */
export function recorded(path: string): References[] {
  const file = readFileSync(path)
  const text = (path.endsWith('.zst') ? zstdDecompressSync(file) : file).toString()
  const keys = Int32Array.from(
    text
      .trim()
      .split('\n')
      .flatMap((line) => {
        const [first = 0, count = 0] = line.split(' ', 2).map(Number)
        return count === 1 ? first : Array.from({ length: count }, (_, page) => first + page)
      }),
  )
  return [1000, 2000, 5000, 10_000, 15_000].map((capacity) => {
    const name = `recorded trace, ${capacity} pages`
    return { name, capacity, keys, from: 0, to: keys.length }
  })
}
