import { createCache } from '@wattle/cache'
import { openDatabase } from '@wattle/database'
import { bearerAuthentication, internalTokenVerifier, jwksPath, remoteKeys } from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import { careFor, createLogger, createRegistry, runService } from '@wattle/service'
import { buildBilling } from './app.ts'
import { billingConfig } from './config.ts'
import { sandboxBiller } from './sandbox-biller.ts'
import type { DB } from './schema.ts'
import { billingWarming } from './warming.ts'

const name = 'billing'

await runService({
  name,
  async start({ onClose }) {
    const config = billingConfig()
    const log = createLogger({ name, config })
    const registry = createRegistry(name)

    const database = openDatabase<DB>({
      url: config.DATABASE_URL_BILLING,
      name,
      poolSize: config.WATTLE_DATABASE_POOL,
      log,
    })
    onClose('database', () => database.close())

    const redis = connectRedis({ url: config.WATTLE_REDIS_CACHE_URL, name, log })
    onClose('redis cache', () => redis.close())
    const keys = keySpace({ environment: config.WATTLE_ENV, service: name })
    const cache = createCache({ redis, keys, log, registry })
    onClose('cache', () => cache.close())

    const state = connectRedis({ url: config.WATTLE_REDIS_STATE_URL, name, log })
    onClose('redis state', () => state.close())
    // Requests keep half of the connections.
    const concurrency = Math.ceil(config.WATTLE_DATABASE_POOL / 2)
    const events = { redis: state, concurrency }

    const internalKeys = remoteKeys({ url: config.WATTLE_INTERNAL_JWKS_URL, log })
    onClose('keys', () => internalKeys.close())
    const paymentUrl = config.WATTLE_PAYMENT_URL.replace(/\/$/, '')
    const paymentKeys = remoteKeys({ url: `${paymentUrl}${jwksPath}`, log })
    onClose('keys of payment', () => paymentKeys.close())
    const callers = { payment: paymentKeys }
    const authenticate = bearerAuthentication(
      internalTokenVerifier({ keys: internalKeys, service: name, callers }),
    )

    const biller = sandboxBiller({ now: Date.now })
    const kit = { config, log, registry, authenticate }
    const { app, cache: plan } = await buildBilling({
      ...kit,
      database,
      redis,
      cache,
      events,
      biller,
    })
    careFor(app, { cache, onClose, ...billingWarming({ plan, now: Date.now }) })
    return app
  },
})
