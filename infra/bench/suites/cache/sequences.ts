import { zipf, type Zipf } from '../../harness/references.ts'

/** Sequences of references, for hit ratios. */

export type Sequence = Zipf & { length: number }

/** Always the same popularity. */
export const steady = (of: Sequence): Int32Array => Int32Array.from({ length: of.length }, zipf(of))

/** In the middle another order of popularity: what was popular is so no more, at once. */
export function shifted(of: Sequence): Int32Array {
  const half = of.length >> 1
  return steady(of).map((number, at) => (at < half ? number : of.distinct + number))
}

/** In every tenth part of it a scan of numbers never seen again. */
export function scanned(of: Sequence): Int32Array {
  const part = Math.ceil(of.length / 10)
  const scan = part >> 2
  return steady(of).map((number, at) => (at % part < scan ? of.distinct + at : number))
}
