import { readSigningKeys } from '@wattle/identity'
import { parseRedisUrl } from '@wattle/redis'
import { baseConfig, loadConfig, url, type Environment } from '@wattle/service'
import { Type, type Static } from 'typebox'

const redisSchemes = ['redis', 'rediss', 'redis+sentinel', 'rediss+sentinel', 'redis+cluster']

const schema = Type.Object({
  ...baseConfig,
  DATABASE_URL_USER: url(['postgres', 'postgresql']),
  WATTLE_REDIS_CACHE_URL: url(redisSchemes),
  /** Where the gateway publishes the keys of its internal tokens. */
  WATTLE_INTERNAL_JWKS_URL: url(['http', 'https']),
  /** Ed25519 private key in PKCS8 PEM; further keys after it are published too. */
  WATTLE_ACCESS_SIGNING_KEY: Type.String({ description: 'an Ed25519 private key in PEM' }),
})

export type Config = Static<typeof schema>

/** The configuration of this service; throws ConfigError with one sentence for each fault. */
export function readConfig(env: Environment = process.env): Config {
  return loadConfig(schema, env, {
    check: {
      WATTLE_REDIS_CACHE_URL: parseRedisUrl,
      WATTLE_ACCESS_SIGNING_KEY: readSigningKeys,
    },
  })
}
