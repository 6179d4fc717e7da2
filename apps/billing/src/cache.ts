import { createOutbox, tag, type Cache, type SqlQuery } from '@wattle/cache'
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

/** The writes and events that change what is cached, and whose it is. */
type Changes = {
  'account.linked': { userId: string }
  'payment.succeeded': { userId: string }
  'payment.refunded': { userId: string }
}

/**
 * Everything that billing caches, and what removes it. The day is part of the keys, because at midnight an open bill may
 * become overdue without being written.
 *
 * Coupons are not cached. A coupon is looked at where an amount depends on it, and what is left of it changes with every
 * payment that uses it: there it is read from the database, in the transaction that counts the use.
 */
export function billingCache({
  cache,
  store,
  query,
  log,
}: {
  cache: Cache
  store: BillsStore
  query: SqlQuery
  log: Parameters<typeof createOutbox>[0]['log']
}) {
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
  const ofUser = ({ userId }: { userId: string }) => [tag(billsOf(userId))]
  // A payment that is held, fails or is canceled changes nothing that is cached: what is held of a bill is not shown.
  const rules = cache.rules<Changes>({
    'account.linked': ofUser,
    'payment.succeeded': ofUser,
    'payment.refunded': ofUser,
  })

  const outbox = createOutbox({ cache, query, log })
  return {
    ...plan,
    /** Runs a write that links an account; in its transaction it notes what that invalidates. */
    linking: <T>(userId: string, work: (note: (query: SqlQuery) => Promise<void>) => Promise<T>) =>
      outbox.write((invalidates) =>
        work((inTransaction) =>
          invalidates(inTransaction, rules.refs('account.linked', { userId })),
        ),
      ),
    /** By event, after the commit of what it does here; an event whose process died in between comes again. */
    afterEvent: {
      'payment.succeeded': ({ payload }: WattleEvent) => rules.on('payment.succeeded', payload),
      'payment.refunded': ({ payload }: WattleEvent) => rules.on('payment.refunded', payload),
    },
    close: outbox.stop,
  }
}
