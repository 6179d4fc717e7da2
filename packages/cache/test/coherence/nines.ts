/** Ages in milliseconds at which staleness is counted. */
export const ageLimitsMs = [50, 200, 1_000, 5_000, 10_000] as const

/**
 * How many nines of the reads were no older than a limit: −log10(stale / reads). Without a stale read it is what the
 * number of reads supports with 95 % confidence, three over n, and never infinity.
 */
export type Nines = { readonly value: number; readonly isBound: boolean }

export function nines(stale: number, reads: number): Nines {
  if (reads === 0) return { value: 0, isBound: true }
  const share = stale === 0 ? Math.min(1, 3 / reads) : stale / reads
  return { value: Math.max(0, -Math.log10(share)), isBound: stale === 0 }
}

/** `4.2`, or `>= 5.1` where no read was stale. */
export const formatNines = ({ value, isBound }: Nines): string =>
  `${isBound ? '>= ' : ''}${value.toFixed(1)}`
