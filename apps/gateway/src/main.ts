import { jwksPath, readSigningKeys, remoteKeys } from '@wattle/identity'
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

    const accessKeys = remoteKeys({
      url: `${config.WATTLE_USER_URL.replace(/\/$/, '')}${jwksPath}`,
      log,
    })
    onClose('keys', () => accessKeys.close())

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
      signingKeys: readSigningKeys(config.WATTLE_INTERNAL_SIGNING_KEY),
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
