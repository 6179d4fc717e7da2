import { readFileSync } from 'node:fs'
import { zstdDecompressSync } from 'node:zlib'
import { randomFrom } from '@wattle/testkit'

/** What keys are asked for, one after another: the same in every run. */

export type Zipf = { distinct: number; skew: number; seed?: number }

/** Draws numbers from 0 on by Zipf's law: the one at place n of popularity with a weight of 1 / n^skew. */
export function zipf({ distinct, skew, seed = 1 }: Zipf): () => number {
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
export function recorded(path: string): Int32Array {
  const file = readFileSync(path)
  const text = (path.endsWith('.zst') ? zstdDecompressSync(file) : file).toString('latin1')
  const pages = text.split('\n').flatMap((line) => {
    const [first, count = 1] = line.split(' ', 2).map(Number)
    if (line === '' || first === undefined) return []
    return count === 1 ? first : Array.from({ length: count }, (_, page) => first + page)
  })
  return Int32Array.from(pages)
}

/** Sizes at which hit ratios on a recorded trace are compared. */
export const recordedCapacities = [1_000, 2_000, 5_000, 10_000, 15_000]
