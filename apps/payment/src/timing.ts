/** How long things may take before somebody else goes on with them. Correctness depends on none of these. */
export type Timing = {
  /** A payment that nobody confirms is canceled, and its hold on the bill released. */
  readonly confirmWithinMs: number
  /** A creation whose request died is given up. Longer than the deadline of that request. */
  readonly createAbandonedAfterMs: number
  /** Bound on one call of the processor. */
  readonly processorTimeoutMs: number
  /** A charge of which nothing was heard is asked about. Longer than the call itself. */
  readonly askAfterMs: number
  /** While a payment is younger than this since its confirmation, a charge that was never received is sent again. */
  readonly chargeAgainForMs: number
  /** What the janitor has taken on is taken on by another after this. */
  readonly claimMs: number
}

export const defaultTiming: Timing = {
  confirmWithinMs: 30 * 60_000,
  createAbandonedAfterMs: 10_000,
  processorTimeoutMs: 3_000,
  askAfterMs: 5_000,
  chargeAgainForMs: 15_000,
  claimMs: 8_000,
}

const minuteMs = 60_000

/**
 * The wait before a processor is asked again: 1, 2, 4, 5, 5 … seconds for two minutes, then 30 s for an hour, then five
 * minutes, each with ±20 % of jitter.
 */
export function askAgainInMs(attempts: number, ageMs: number, random: () => number): number {
  const base =
    ageMs < 2 * minuteMs
      ? Math.min(5_000, 1_000 * 2 ** Math.max(0, attempts - 1))
      : ageMs < 60 * minuteMs
        ? 30_000
        : 5 * minuteMs
  return Math.round(base * (0.8 + 0.4 * random()))
}
