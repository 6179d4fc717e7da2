import { tag, type Cache } from '@wattle/cache'
import type { BillSummary, Utility, WattleEvent } from '@wattle/contracts'
import type { BillFilters, BillsStore } from './bills-store.ts'
import type { Day } from './calendar.ts'
import type { Position } from './cursor.ts'

/** One page of a list of bills, as it is asked for. */
export type PageRequest = {
  readonly filters: BillFilters
  readonly after?: Position | undefined
  readonly limit: number
}

export type BillingCache = ReturnType<typeof billingCache>

const billsOf = (userId: string) => `user:${userId}`

/**
 * Everything that billing caches, and what removes it. The day is part of the keys, because at midnight an open bill may
 * become overdue without being written.
 */
export function billingCache({ cache, store }: { cache: Cache; store: BillsStore }) {
  const plan = cache.define({
    /** Reference data; changes by migration only. */
    providers: {
      key: (utility?: Utility) => [utility ?? 'all'],
      ttl: '24h',
      load: (utility?: Utility) => store.providers(utility),
    },
    bill: {
      key: (userId: string, billId: string, today: Day) => [userId, billId, today],
      ttl: '10m',
      tags: (userId) => [billsOf(userId)],
      load: (userId: string, billId: string, today: Day) => store.bill(userId, billId, today),
    },
    /** One row more than asked for, where there is one: it tells whether a next page exists. */
    bills: {
      key: (userId: string, today: Day, page: PageRequest) => [userId, today, page],
      ttl: '30m',
      tags: (userId) => [billsOf(userId)],
      load: (userId: string, today: Day, page: PageRequest): Promise<BillSummary[]> =>
        store.billsOf(userId, { today, ...page, limit: page.limit + 1 }),
    },
  })
  /** Every list and bill of a person. */
  const changed = (userId: string) => cache.invalidate([tag(billsOf(userId))])
  const paidChanged = ({ payload }: WattleEvent) => changed(payload.userId)
  return {
    ...plan,
    accountLinked: changed,
    /**
     * By event, after the commit of what it does here. A payment that is held, fails or is canceled changes nothing that
     * is cached: what is held of a bill is not shown.
     */
    afterEvent: {
      'payment.succeeded': paidChanged,
      'payment.refunded': paidChanged,
    },
  }
}
