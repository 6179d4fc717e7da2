import { tag, type Cache } from '@wattle/cache'
import type { Payment } from '@wattle/contracts'
import type { HistoryStore, PageRequest } from './history/history-store.ts'

export type PaymentCache = ReturnType<typeof paymentCache>

const recentLimit = 10
const paymentsOf = (userId: string) => `user:${userId}`

/**
 * Everything that payment caches, and what removes it: the lists that people look at. No decision about money reads
 * them: nothing that decides may import this file, which a test holds.
 */
export function paymentCache({ cache, store }: { cache: Cache; store: HistoryStore }) {
  const plan = cache.define({
    /** One row more than asked for, where there is one: it tells whether a next page exists. */
    history: {
      key: (userId: string, page: PageRequest) => [userId, page],
      ttl: '15m',
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
  const paymentsChanged = (userId: string) => cache.invalidate([tag(paymentsOf(userId))])
  return {
    ...plan,
    /** After anything of a person's payments has changed: all their lists. */
    paymentsChanged,
  }
}

/**
 * The same on this service's own events. Who made the change invalidates at once, unless it dies between its commit and
 * that, or Redis is away just then; the event comes in any case.
 */
export function listRules({ paymentsChanged }: Pick<PaymentCache, 'paymentsChanged'>) {
  const nothingElse = async () => {}
  const changed = (event: { payload: { userId: string } }) => paymentsChanged(event.payload.userId)
  const types = ['succeeded', 'failed', 'canceled', 'refunded'] as const
  const forEach = <T>(value: T) =>
    Object.fromEntries(types.map((type) => [`payment.${type}`, value])) as {
      [K in (typeof types)[number] as `payment.${K}`]: T
    }
  return { handlers: forEach(nothingElse), afterCommit: forEach(changed) }
}
