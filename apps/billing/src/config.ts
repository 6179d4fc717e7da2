import { parseRedisUrl, redisUrlSchemes } from '@wattle/redis'
import { baseConfig, loadConfig, url, type Environment } from '@wattle/service'
import { Type, type Static } from 'typebox'

export const databaseUrl = url(['postgresql', 'postgres'])

const redisUrl = url(redisUrlSchemes)

const schema = Type.Object({
  ...baseConfig,
  DATABASE_URL_BILLING: databaseUrl,
  /** Connections at most; copies of the service × this must stay below what the server allows. */
  WATTLE_DATABASE_POOL: Type.Integer({ minimum: 1, maximum: 200, default: 10 }),
  WATTLE_REDIS_CACHE_URL: redisUrl,
  /** Where the events of other services come from. */
  WATTLE_REDIS_STATE_URL: redisUrl,
  WATTLE_INTERNAL_JWKS_URL: url(['http', 'https']),
  /** The payment service: by the keys that it publishes there its calls are known. */
  WATTLE_PAYMENT_URL: url(['http', 'https']),
})

export type BillingConfig = Static<typeof schema>

/** Throws ConfigError, with a sentence for each variable that is missing or wrong. */
export function billingConfig(env: Environment = process.env): BillingConfig {
  return loadConfig(schema, env, {
    check: { WATTLE_REDIS_CACHE_URL: parseRedisUrl, WATTLE_REDIS_STATE_URL: parseRedisUrl },
  })
}
