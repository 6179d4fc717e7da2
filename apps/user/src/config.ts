import { readSigningKeys } from '@wattle/identity'
import { parseRedisUrl, redisUrlSchemes } from '@wattle/redis'
import { baseConfig, loadConfig, url, type Environment } from '@wattle/service'
import { Type, type Static } from 'typebox'

export const databaseUrl = url(['postgresql', 'postgres'])

const schema = Type.Object({
  ...baseConfig,
  DATABASE_URL_USER: databaseUrl,
  /** Connections at most; copies of the service × this must stay below what the server allows. */
  WATTLE_DATABASE_POOL: Type.Integer({ minimum: 1, maximum: 200, default: 10 }),
  WATTLE_REDIS_CACHE_URL: url(redisUrlSchemes),
  /** Where the gateway publishes the keys of its internal tokens. */
  WATTLE_INTERNAL_JWKS_URL: url(['http', 'https']),
  /** Ed25519 private key in PKCS8 PEM; further keys after it are published too. */
  WATTLE_ACCESS_SIGNING_KEY: Type.String({ description: 'an Ed25519 private key in PEM' }),
})

export type UserConfig = Static<typeof schema>

/** Throws ConfigError, with a sentence for each variable that is missing or wrong. */
export function userConfig(env: Environment = process.env): UserConfig {
  return loadConfig(schema, env, {
    check: {
      WATTLE_REDIS_CACHE_URL: parseRedisUrl,
      WATTLE_ACCESS_SIGNING_KEY: readSigningKeys,
    },
  })
}
