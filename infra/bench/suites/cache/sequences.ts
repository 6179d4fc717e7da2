import { readFileSync } from 'node:fs'
import { zstdDecompressSync } from 'node:zlib'

/** Sequences of references, for hit ratios: the same for everybody, and in every run. */

/** Zipf-distributed numbers: number n is drawn with a weight of 1 / n^skew. */
export function zipf({ distinct, skew, length, seed = 1 }: Zipf): Int32Array {
  const cumulated = new Float64Array(distinct)
  let sum = 0
  for (let at = 0; at < distinct; at++) cumulated[at] = sum += 1 / (at + 1) ** skew
  const random = generator(seed)
  return Int32Array.from({ length }, () => firstAbove(cumulated, random() * sum))
}

export type Zipf = { distinct: number; skew: number; length: number; seed?: number }

/** Zipf, and in the middle another order of popularity: what was popular is so no more, at once. */
export function shifted(of: Zipf): Int32Array {
  const sequence = zipf(of)
  const half = sequence.length >> 1
  return sequence.map((number, at) => (at < half ? number : of.distinct + number))
}

/** Zipf with a scan of numbers never seen again in every tenth part of it. */
export function scanned(of: Zipf): Int32Array {
  const sequence = zipf(of)
  const part = Math.ceil(sequence.length / 10)
  const scan = part >> 2
  return sequence.map((number, at) => (at % part < scan ? of.distinct + at : number))
}

/** A recorded trace: lines of `first count …`, each a reference to `count` numbers from `first`. */
export function recorded(path: string): Int32Array {
  const file = readFileSync(path)
  const text = (path.endsWith('.zst') ? zstdDecompressSync(file) : file).toString('latin1')
  const numbers = text.split('\n').flatMap((line) => {
    const [first, count = 1] = line.split(' ', 2).map(Number)
    if (line === '' || first === undefined) return []
    return Array.from({ length: count }, (_, at) => first + at)
  })
  return Int32Array.from(numbers)
}

/** mulberry32: small, quick, and good enough to draw keys with. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function firstAbove(cumulated: Float64Array, value: number): number {
  let [low, high] = [0, cumulated.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((cumulated[middle] ?? 0) > value) high = middle
    else low = middle + 1
  }
  return low
}
