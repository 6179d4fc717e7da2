/** What the audits of this process found since it started. */
export type AuditReport = {
  /** Entries compared with the source: those that agreed, those that an invalidation reached within the settling window, and the findings. */
  readonly checked: number
  /** Entries that differed from a source that had not changed for the whole window: repaired. */
  readonly inconsistent: number
  /** Looked at without a verdict: the source changed all the time, or did not answer. Not among `checked`. */
  readonly undecided: number
  /** Share of checked entries that were consistent; 1 before the first. */
  readonly ratio: number
  /** With 95 % confidence no more than this share is inconsistent: three over the sample size where nothing was found. */
  readonly inconsistentAtMost: number
  /** −log10 of that: the nines that the sample size can support. */
  readonly nines: number
  /** The last findings, newest first. */
  readonly findings: readonly Finding[]
}

export type Finding = {
  readonly kind: string
  /** The entry's name in Redis. */
  readonly key: string
  readonly tier: 'l1' | 'l2'
  /** Milliseconds since 1970, by the server's clock. */
  readonly atMs: number
}

/**
 * The share that `found` of `checked` can be with 95 % confidence (one-sided): the rule of three for none, the
 * Wilson–Hilferty approximation of the exact Poisson limit for more. 1 where nothing was checked.
 */
export function upperBound(found: number, checked: number): number {
  if (checked === 0) return 1
  if (found === 0) return Math.min(1, 3 / checked)
  const more = found + 1
  const limit = more * (1 - 1 / (9 * more) + 1.645 / (3 * Math.sqrt(more))) ** 3
  return Math.min(1, limit / checked)
}

export function reportOf(
  counts: { consistent: number; inconsistent: number; undecided: number },
  findings: readonly Finding[],
): AuditReport {
  const { consistent, inconsistent, undecided } = counts
  const checked = consistent + inconsistent
  const inconsistentAtMost = upperBound(inconsistent, checked)
  return {
    checked,
    inconsistent,
    undecided,
    ratio: checked === 0 ? 1 : consistent / checked,
    inconsistentAtMost,
    nines: -Math.log10(inconsistentAtMost) || 0,
    findings: [...findings],
  }
}
