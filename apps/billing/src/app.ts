import type { Cache } from '@wattle/cache'
import { queryOf, type Database } from '@wattle/database'
import { consume, type ConsumeOptions, type Consumer } from '@wattle/events'
import type { RedisConnection } from '@wattle/redis'
import { createService, type ServiceOptions } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import { addAccountRoutes } from './accounts.ts'
import { accountsStore } from './accounts-store.ts'
import type { Biller } from './biller.ts'
import { addBillRoutes } from './bills.ts'
import { billsStore } from './bills-store.ts'
import { billingCache, type BillingCache } from './cache.ts'
import { addCouponRoutes } from './coupons/coupons.ts'
import { paymentEvents } from './reservations/payment-events.ts'
import { addReservationRoutes } from './reservations/reservations.ts'
import type { DB } from './schema.ts'

type EventSource = Pick<
  ConsumeOptions<DB>,
  'redis' | 'concurrency' | 'retry' | 'blockMs' | 'claimAfterMs'
>

export type BillingDeps = Pick<ServiceOptions, 'config' | 'log' | 'registry' | 'authenticate'> & {
  readonly database: Database<DB>
  readonly redis: Pick<RedisConnection, 'ping'>
  readonly cache: Cache
  readonly biller: Biller
  /** Where the events of payments come from, while the app runs; without it none come. */
  readonly events?: EventSource
  readonly now?: () => number
}

/** The billing service, ready to listen or to be injected into, and what it caches. */
export async function buildBilling(
  deps: BillingDeps,
): Promise<{ app: FastifyInstance; cache: BillingCache }> {
  const { database, redis, biller, events, now = Date.now, ...kit } = deps
  const bills = billsStore(database)
  const accounts = accountsStore(database)

  const app = await createService({
    ...kit,
    name: 'billing',
    version: '0.1.0',
    description: 'Utility providers, linked accounts and their bills',
    checks: {
      database: () => database.health(1_000),
      redis: { required: false, check: () => redis.ping(500) },
    },
  })
  const cache = billingCache({
    cache: deps.cache,
    store: bills,
    query: queryOf(database.kysely),
    log: app.log,
  })
  app.addHook('onClose', cache.close)
  addBillRoutes(app, { cache, now })
  addAccountRoutes(app, { accounts, bills, biller, cache, now })
  addReservationRoutes(app, { database, now })
  addCouponRoutes(app, { database, now })

  if (events) {
    let consumer: Consumer | undefined
    app.addHook('onReady', async () => {
      consumer = consume<DB>({
        ...events,
        database,
        environment: kit.config.WATTLE_ENV,
        group: 'billing',
        streams: ['payment'],
        ...cache.onEvents(paymentEvents),
        log: app.log,
        ...(kit.registry ? { registry: kit.registry } : {}),
      })
    })
    app.addHook('onClose', () => consumer?.stop())
  }
  return { app, cache }
}
