import { createCache } from '@wattle/cache'
import { reservationRoutes } from '@wattle/contracts'
import { openDatabase } from '@wattle/database'
import { consume, startRelay } from '@wattle/events'
import {
  bearerAuthentication,
  internalTokenVerifier,
  localKeys,
  publishJwks,
  readSigningKeys,
  remoteKeys,
  serviceTokens,
} from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import {
  careFor,
  createCircuits,
  createClient,
  createLogger,
  createRegistry,
  runService,
} from '@wattle/service'
import { buildPayment } from './app.ts'
import { paymentConfig, timingOf } from './config.ts'
import { startJanitor } from './janitor/janitor.ts'
import { reserveThrough } from './payment/billing.ts'
import { callbackUrlOf } from './processor/callbacks.ts'
import { readSecrets } from './processor/standard-webhooks.ts'
import { startSandbox } from './sandbox/start.ts'
import type { DB } from './schema.ts'
import { paymentWarming } from './warming.ts'

const name = 'payment'

await runService({
  name,
  // The janitor may be waiting for a silent processor, twice.
  closeTimeoutMs: 10_000,
  async start({ onClose }) {
    const config = paymentConfig()
    const { WATTLE_ENV: environment, DATABASE_URL_PAYMENT: databaseUrl } = config
    const log = createLogger({ name, config })
    const registry = createRegistry(name)
    const now = Date.now
    const random = Math.random

    const database = openDatabase<DB>({
      url: databaseUrl,
      name,
      poolSize: config.WATTLE_DATABASE_POOL,
      log,
    })
    onClose('database', database.close)

    const redis = connectRedis({ url: config.WATTLE_REDIS_CACHE_URL, name, log })
    onClose('redis cache', () => redis.close())
    const cache = createCache({
      redis,
      keys: keySpace({ environment, service: name }),
      log,
      registry,
    })
    onClose('cache', () => cache.close())

    const state = connectRedis({ url: config.WATTLE_REDIS_STATE_URL, name, log })
    onClose('redis state', () => state.close())
    const replicas = config.WATTLE_EVENT_REPLICAS
    const events = { databaseUrl, redis: state, environment, service: name, replicas }
    const relay = startRelay({ ...events, log, registry })
    onClose('event relay', () => relay.stop())

    const tokens = serviceTokens({
      keys: readSigningKeys(config.WATTLE_SERVICE_SIGNING_KEY),
      service: name,
    })
    const internalKeys = remoteKeys({ url: config.WATTLE_INTERNAL_JWKS_URL, log })
    onClose('keys', () => internalKeys.close())
    const authenticate = bearerAuthentication(
      internalTokenVerifier({
        keys: internalKeys,
        service: name,
        // Who holds this service's own key may ask it to verify the ledger.
        callers: { [name]: localKeys(tokens.jwks) },
      }),
    )
    const circuits = createCircuits({ registry, log, random })
    const billing = createClient(reservationRoutes, {
      baseUrl: config.WATTLE_BILLING_URL,
      service: 'billing',
      circuits,
    })
    onClose('billing client', () => billing.close())

    const sandbox = startSandbox({
      databaseUrl,
      secrets: readSecrets(config.WATTLE_PROCESSOR_SECRET),
      settleMs: config.WATTLE_SANDBOX_SETTLE_MS,
      latencyMs: config.WATTLE_SANDBOX_LATENCY_MS,
      log,
      now,
      random,
    })
    onClose('sandbox', () => sandbox.stop())

    const {
      app,
      janitor,
      cache: plan,
    } = await buildPayment({
      config,
      database,
      redis,
      cache,
      processor: sandbox.processor,
      reserveFor: reserveThrough(billing, () => tokens.tokenFor('billing')),
      authenticate,
      circuits,
      timing: timingOf(config),
      onEvent: relay.wake,
      log,
      registry,
      random,
    })
    publishJwks(app, tokens.jwks)
    sandbox.deliverTo(
      () => config.WATTLE_SANDBOX_CALLBACK_URL ?? callbackUrlOf(app, sandbox.processor.name),
    )
    const everyMs = config.WATTLE_PAYMENT_JANITOR_EVERY_MS
    const janitorLoop = startJanitor({ ...janitor, everyMs, registry, random })
    onClose('janitor', () => janitorLoop.stop())

    const own = { redis: state, database, environment, group: name, streams: [name] }
    const consumer = consume({ ...own, ...plan.onOwnEvents, concurrency: 4, log, registry })
    onClose('event consumer', () => consumer.stop())
    careFor(app, { cache, onClose, ...paymentWarming({ plan, database, now }) })
    return app
  },
})
