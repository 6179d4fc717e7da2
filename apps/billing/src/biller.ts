import type { BillLine, Provider } from '@wattle/contracts'
import type { Day } from './calendar.ts'

/** A bill as the provider states it. Its total is the sum of its lines. */
export type BillerBill = {
  /** `draft`: of a period that is still running; not yet shown to the customer. */
  readonly lifecycle: 'draft' | 'issued' | 'void'
  readonly periodStart: Day
  readonly periodEnd: Day
  readonly dueDate: Day
  /** ISO 8601; null while it is a draft. */
  readonly issuedAt: string | null
  /** What the provider has received already. */
  readonly paidMinor: number
  readonly lines: readonly BillLine[]
}

/** What the integration of a provider has to offer. */
export type Biller = {
  /**
   * The customer's bills of the last six months and the running one, oldest first; one bill a period. `undefined` when
   * the provider does not know the number. Rejects with AppError BAD_GATEWAY when the provider answers wrongly and
   * UNAVAILABLE when it does not answer, at the latest when `signal` aborts.
   */
  recentBills(
    account: { readonly provider: Provider; readonly customerNumber: string },
    signal: AbortSignal,
  ): Promise<readonly BillerBill[] | undefined>
}
