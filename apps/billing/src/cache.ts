import { createOutbox, tag, type Cache, type SqlQuery } from '@wattle/cache'
import type { BillSummary, Utility, WattleEvent } from '@wattle/contracts'
import { queryOf } from '@wattle/database'
import type { EventHandler } from '@wattle/events'
import type { BillFilters, BillsStore } from './bills-store.ts'
import type { Day } from './calendar.ts'
import type { Position } from './cursor.ts'
import type { paymentEvents } from './reservations/payment-events.ts'
import type { DB } from './schema.ts'

/** One page of a list of bills, as it is asked for. */
export type PageRequest = {
  readonly filters: BillFilters
  readonly after?: Position | undefined
  readonly limit: number
}

export type BillingCache = ReturnType<typeof billingCache>

const billsOf = (userId: string) => `user:${userId}`

type PaidEvent = 'payment.succeeded' | 'payment.refunded'
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
  /** What the event invalidates, once it is committed. */
  const stored = new WeakMap<object, () => Promise<void>>()
  const storing =
    <Type extends PaidEvent>(type: Type, handle: EventHandler<DB, Type>): EventHandler<DB, Type> =>
    async (event, trx) => {
      await handle(event, trx)
      stored.set(event, await outbox.store(queryOf(trx), rules.refs(type, event.payload)))
    }
  // A repetition has stored nothing, but the process that handled it may have died before it came to this.
  const afterCommit = (event: WattleEvent<PaidEvent>) =>
    stored.get(event)?.() ?? rules.on(event.type, event.payload)

  return {
    ...plan,
    /** Runs a write that links an account; in its transaction it notes what that invalidates. */
    linking: <T>(userId: string, work: (note: (query: SqlQuery) => Promise<void>) => Promise<T>) =>
      outbox.write((invalidates) =>
        work((inTransaction) =>
          invalidates(inTransaction, rules.refs('account.linked', { userId })),
        ),
      ),
    /** What events do here, and after the commit of that, which stores with it what it invalidates. */
    onEvents: (handlers: typeof paymentEvents) => ({
      handlers: {
        ...handlers,
        'payment.succeeded': storing('payment.succeeded', handlers['payment.succeeded']),
        'payment.refunded': storing('payment.refunded', handlers['payment.refunded']),
      },
      afterCommit: { 'payment.succeeded': afterCommit, 'payment.refunded': afterCommit },
    }),
    close: outbox.stop,
  }
}
