import { readSigningKeys } from '@wattle/identity'
import { clientAddress } from '@wattle/ratelimit'
import { parseRedisUrl, redisUrlSchemes } from '@wattle/redis'
import { baseConfig, loadConfig, url, type Environment } from '@wattle/service'
import { Type, type Static } from 'typebox'

const serviceUrl = url(['http', 'https'])

const schema = Type.Object({
  ...baseConfig,
  WATTLE_USER_URL: serviceUrl,
  WATTLE_PAYMENT_URL: serviceUrl,
  WATTLE_BILLING_URL: serviceUrl,
  /** Where the user service tells which sessions and tokens were revoked. */
  WATTLE_REDIS_STATE_URL: url(redisUrlSchemes),
  /** Ed25519 private key in PKCS8 PEM; further keys after it are published too. */
  WATTLE_INTERNAL_SIGNING_KEY: Type.String({ description: 'an Ed25519 private key in PEM' }),
  /** Origins whose pages may call from a browser, comma-separated; none where it is not set. */
  WATTLE_CORS_ORIGINS: Type.Array(Type.String(), { default: [] }),
  /** Where limits are counted. */
  WATTLE_REDIS_CACHE_URL: url(redisUrlSchemes),
  /** Every rate limit times this: 1 in production, much in load tests. */
  WATTLE_RATE_LIMIT_SCALE: Type.Number({
    default: 1,
    minimum: 0.1,
    maximum: 1_000,
    description: 'a factor for every rate limit',
  }),
  /** Proxies whose X-Forwarded-For is believed, comma-separated addresses or networks; none where it is not set. */
  WATTLE_TRUSTED_PROXIES: Type.Array(Type.String(), { default: [] }),
})

export type GatewayConfig = Static<typeof schema>

/** Throws ConfigError, with a sentence for each variable that is missing or wrong. */
export function gatewayConfig(env: Environment = process.env): GatewayConfig {
  return loadConfig(schema, env, {
    check: {
      WATTLE_USER_URL: assertServiceUrl,
      WATTLE_PAYMENT_URL: assertServiceUrl,
      WATTLE_BILLING_URL: assertServiceUrl,
      WATTLE_REDIS_STATE_URL: parseRedisUrl,
      WATTLE_INTERNAL_SIGNING_KEY: readSigningKeys,
      WATTLE_CORS_ORIGINS: (origins) => origins.forEach(assertOrigin),
      WATTLE_REDIS_CACHE_URL: parseRedisUrl,
      WATTLE_TRUSTED_PROXIES: assertProxies,
    },
  })
}

function assertServiceUrl(text: string): void {
  const parsed = URL.parse(text)
  if (parsed === null || parsed.search !== '' || parsed.hash !== '' || parsed.username !== '') {
    throw new Error('write it as http://host:port, without user, query and fragment')
  }
}

function assertOrigin(text: string): void {
  if (URL.parse(text)?.origin !== text || !/^https?:/.test(text)) {
    throw new Error('write each origin as https://host or http://host:port, without a path')
  }
}

function assertProxies(proxies: readonly string[]): void {
  try {
    clientAddress(proxies)
  } catch {
    throw new Error('write each proxy as an address or a network, such as 10.0.0.0/8')
  }
}
