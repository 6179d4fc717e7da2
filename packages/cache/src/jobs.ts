import type { Generations } from './generations.ts'
import type { Weight } from './weight.ts'

/** A read of one entry and some tags. */
export interface ReadJob {
  readonly kind: { readonly weight: Weight }
  readonly entry: string
  readonly tagKeys: readonly string[]
  /** `epoch`: of the server, where it was asked for. */
  answered(
    bytes: Buffer | null,
    tags: readonly (Buffer | null)[],
    generations: Generations,
    epoch: string | undefined,
  ): void
  /** Redis could not be asked. */
  unanswered(): void
}

export interface LeaseJob {
  readonly entry: string
  readonly lease: string
  readonly token: string
  /** The beginning of the entry that was seen, or nothing. */
  readonly seen: Buffer | string
  /** Epoch and sequence are those at the lease. */
  leased(outcome: LeaseOutcome, epoch: string, sequence: string): void
}
/**
 * `lost`: another load is under way. `writing`: somebody is writing the value to the source. `newer`: there is another
 * entry than the one seen.
 */
export type LeaseOutcome = 'won' | 'lost' | 'writing' | 'newer' | 'failed'

export interface FillJob {
  readonly entry: string
  readonly lease: string
  readonly tagKeys: readonly string[]
  readonly token: string
  readonly kind: string
  readonly epoch: string
  readonly ttlMs: number
  /** Its header has the sequence at the lease. */
  readonly value: Buffer | string
  filled(result: FillResult): void
}
export type FillResult = 'stored' | 'lease' | 'epoch' | 'invalidated' | 'unavailable'
