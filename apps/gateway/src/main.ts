import {
  jwksPath,
  liveRevocations,
  remoteKeys,
  revocationChannel,
  revocations,
  watchedKeys,
} from '@wattle/identity'
import { createRateLimits } from '@wattle/ratelimit'
import { connectRedis, keySpace } from '@wattle/redis'
import { createLogger, createRegistry, runService } from '@wattle/service'
import { buildGateway } from './app.ts'
import { gatewayConfig } from './config.ts'
import { personalSecretFrom } from './limits.ts'
import { exposedServices } from './routes.ts'

const name = 'gateway'

await runService({
  name,
  async start({ onClose }) {
    const config = gatewayConfig()
    const log = createLogger({ name, config })
    const registry = createRegistry(name)

    const userUrl = config.WATTLE_USER_URL.replace(/\/$/, '')
    const accessKeys = remoteKeys({ url: `${userUrl}${jwksPath}`, log })
    onClose('keys', () => accessKeys.close())

    const state = connectRedis({ url: config.WATTLE_REDIS_STATE_URL, name, log })
    onClose('redis state', () => state.close())
    // The user service's: it issues, gateways listen.
    const userKeys = keySpace({ environment: config.WATTLE_ENV, service: 'user' })
    const view = revocations({
      channel: (listener) => revocationChannel({ redis: state, keys: userKeys, listener, log }),
      source: liveRevocations({ redis: state, keys: userKeys }),
      log,
    })
    onClose('revocations', () => view.close())

    const signingKeys = watchedKeys({
      pem: config.WATTLE_INTERNAL_SIGNING_KEY,
      file: process.env['WATTLE_INTERNAL_SIGNING_KEY_FILE'],
      log,
    })
    onClose('signing keys', () => signingKeys.close())

    const redis = connectRedis({ url: config.WATTLE_REDIS_CACHE_URL, name, log })
    onClose('redis cache', () => redis.close())
    const keys = keySpace({
      environment: config.WATTLE_ENV,
      service: name,
      personalSecret: personalSecretFrom(config.WATTLE_INTERNAL_SIGNING_KEY),
    })
    const rateLimits = createRateLimits({ redis, keys, log, registry })
    onClose('limits', () => rateLimits.close())

    return buildGateway({
      config,
      log,
      registry,
      accessKeys,
      revocations: view,
      state,
      inboxUrl: `${userUrl}/inbox`,
      signingKeys,
      corsOrigins: config.WATTLE_CORS_ORIGINS,
      limits: {
        rateLimits,
        redis,
        scale: config.WATTLE_RATE_LIMIT_SCALE,
        trustedProxies: config.WATTLE_TRUSTED_PROXIES,
      },
      services: [
        { name: 'user', url: config.WATTLE_USER_URL, routes: exposedServices.user },
        { name: 'payment', url: config.WATTLE_PAYMENT_URL, routes: exposedServices.payment },
        { name: 'billing', url: config.WATTLE_BILLING_URL, routes: exposedServices.billing },
      ],
    })
  },
})
