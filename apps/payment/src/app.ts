import type { Cache } from '@wattle/cache'
import { queryOf, type Database } from '@wattle/database'
import type { RedisConnection } from '@wattle/redis'
import {
  createLogger,
  createService,
  type Authenticate,
  type BaseConfig,
  type Circuits,
  type Logger,
} from '@wattle/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import { paymentCache } from './cache.ts'
import { addHistoryRoutes } from './history/history.ts'
import { historyStore } from './history/history-store.ts'
import { createIdempotency } from './idempotency/idempotency.ts'
import type { JanitorDeps } from './janitor/janitor.ts'
import { addLedgerRoutes } from './ledger/routes.ts'
import { createCharging } from './payment/charging.ts'
import type { Reserve } from './payment/create.ts'
import { createLifecycle } from './payment/lifecycle.ts'
import { addPaymentRoutes } from './payment/routes.ts'
import { unitOfWork } from './payment/unit.ts'
import { addCallbackRoute } from './processor/callbacks.ts'
import type { Processor } from './processor/processor.ts'
import { addRefundRoutes } from './refund/routes.ts'
import { createRefunding } from './refund/refunding.ts'
import type { DB } from './schema.ts'
import { defaultTiming, type Timing } from './timing.ts'

export type PaymentDeps = {
  config: BaseConfig
  database: Database<DB>
  redis: Pick<RedisConnection, 'ping'>
  cache: Cache
  processor: Processor
  /** Asks billing to hold an amount, in the course of a request. */
  reserveFor: (request: FastifyRequest) => Reserve
  authenticate: Authenticate
  /** To the services that are called; shown in readiness. */
  circuits?: Pick<Circuits, 'checks'>
  timing?: Partial<Timing>
  /** Called when an event may have been stored. */
  onEvent?: () => void
  log?: Logger
  registry?: Registry
  random?: () => number
}

/** The payment service, ready to listen or to be injected into, and what its janitor works with. */
export async function buildPayment(
  deps: PaymentDeps,
): Promise<{ app: FastifyInstance; janitor: JanitorDeps; cache: ReturnType<typeof paymentCache> }> {
  const {
    database,
    redis,
    processor,
    reserveFor,
    onEvent,
    circuits,
    random = Math.random,
    ...kit
  } = deps
  const log = deps.log ?? createLogger({ name: 'payment', config: deps.config })
  const timing = { ...defaultTiming, ...deps.timing }

  const cache = paymentCache({
    cache: deps.cache,
    store: historyStore(database),
    query: queryOf(database.kysely),
    log,
  })
  const inUnit = unitOfWork({ database, writing: cache.writing, changed: onEvent })
  const lifecycle = createLifecycle({ processor: processor.name, timing, log })
  const charging = createCharging({ inUnit, lifecycle, processor, timing, log, random })
  const refunding = createRefunding({ inUnit, processor, timing, log, random })
  const idempotency = createIdempotency({ database, inUnit })

  const app = await createService({
    ...kit,
    log,
    name: 'payment',
    version: '0.1.0',
    description: 'Payments of bills, refunds, and the ledger',
    checks: {
      database: () => database.health(1_000),
      redis: { required: false, check: () => redis.ping(500) },
      ...circuits?.checks(),
    },
  })
  app.addHook('onClose', cache.close)
  addHistoryRoutes(app, { cache })
  addPaymentRoutes(app, {
    database,
    inUnit,
    lifecycle,
    charging,
    processor,
    idempotency,
    reserveFor,
  })
  addRefundRoutes(app, { database, refunding, idempotency })
  addLedgerRoutes(app, { database })
  await addCallbackRoute(app, { inUnit, lifecycle, processor })
  return { app, cache, janitor: { database, inUnit, lifecycle, charging, refunding, timing, log } }
}
