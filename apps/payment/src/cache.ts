import { createOutbox, tag, type Cache, type SqlQuery } from '@wattle/cache'
import type { Payment } from '@wattle/contracts'
import { queryOf } from '@wattle/database'
import type { HistoryStore, PageRequest } from './history/history-store.ts'
import type { NoteChange } from './payment/unit.ts'

export type PaymentCache = ReturnType<typeof paymentCache>

const recentLimit = 10
const paymentsOf = (userId: string) => `user:${userId}`

type EventName = `payment.${'succeeded' | 'failed' | 'canceled' | 'refunded'}`
/** The writes and events that change what is cached, and whose it is. */
type Changes = { readonly [Type in EventName | 'payment.changed']: { readonly userId: string } }

/**
 * Everything that payment caches, and what removes it: the lists that people look at. No decision about money reads
 * them: nothing that decides may import this file, which a test holds.
 */
export function paymentCache({
  cache,
  store,
  query,
  log,
}: {
  cache: Cache
  store: HistoryStore
  query: SqlQuery
  log: Parameters<typeof createOutbox>[0]['log']
}) {
  const plan = cache.define({
    /** One row more than asked for, where there is one: it tells whether a next page exists. */
    history: {
      key: (userId: string, page: PageRequest) => [userId, page],
      ttl: '15m',
      // A page of 20 is 7 KB, and a fifth of that compressed.
      compressAbove: 2_048,
      tags: (userId) => [paymentsOf(userId)],
      load: (userId: string, page: PageRequest): Promise<Payment[]> =>
        store.paymentsOf(userId, { ...page, limit: page.limit + 1 }),
    },
    recent: {
      key: (userId: string) => [userId],
      ttl: '5m',
      tags: (userId) => [paymentsOf(userId)],
      load: (userId: string): Promise<Payment[]> =>
        store.paymentsOf(userId, { filters: {}, limit: recentLimit }),
    },
  })
  const ofUser = ({ userId }: { userId: string }) => [tag(paymentsOf(userId))]
  const rules = cache.rules<Changes>({
    'payment.changed': ofUser,
    'payment.succeeded': ofUser,
    'payment.failed': ofUser,
    'payment.canceled': ofUser,
    'payment.refunded': ofUser,
  })
  const outbox = createOutbox({ cache, query, log })
  return {
    ...plan,
    /** Runs a write; in its transaction it notes whose payments change, and all their lists go when it is committed. */
    writing: <T>(work: (note: NoteChange) => Promise<T>): Promise<T> =>
      outbox.write((invalidates) =>
        work((trx, userId) => invalidates(queryOf(trx), rules.refs('payment.changed', { userId }))),
      ),
    close: outbox.stop,
    /** The same on this service's own events, which other services' caches go by too. */
    onOwnEvents: {
      handlers: forEachEvent(async () => {}),
      afterCommit: forEachEvent(
        ({ type, payload }: { type: EventName; payload: { userId: string } }) =>
          rules.on(type, payload),
      ),
    },
  }
}

function forEachEvent<T>(value: T): Record<EventName, T> {
  return {
    'payment.succeeded': value,
    'payment.failed': value,
    'payment.canceled': value,
    'payment.refunded': value,
  }
}
