import { readSecrets, readSigningKeys } from '@wattle/identity'
import { parseRedisUrl, redisUrlSchemes } from '@wattle/redis'
import { baseConfig, ConfigError, loadConfig, url, type Environment } from '@wattle/service'
import { Type, type Static } from 'typebox'
import { countriesFrom } from './session/countries.ts'

export const databaseUrl = url(['postgresql', 'postgres'])

const schema = Type.Object({
  ...baseConfig,
  DATABASE_URL_USER: databaseUrl,
  /** Connections at most; copies of the service × this must stay below what the server allows. */
  WATTLE_DATABASE_POOL: Type.Integer({ minimum: 1, maximum: 200, default: 10 }),
  WATTLE_REDIS_CACHE_URL: url(redisUrlSchemes),
  /** Carries revocations to every gateway. */
  WATTLE_REDIS_STATE_URL: url(redisUrlSchemes),
  /** Where the gateway publishes the keys of its internal tokens. */
  WATTLE_INTERNAL_JWKS_URL: url(['http', 'https']),
  /** Ed25519 private key in PKCS8 PEM; further keys after it are published too. */
  WATTLE_ACCESS_SIGNING_KEY: Type.String({ description: 'an Ed25519 private key in PEM' }),
  /** 32 bytes in base64, from which refresh and device tokens are derived; further ones after a comma are known too. */
  WATTLE_SESSION_SECRET: Type.String({ description: 'a secret of 32 bytes in base64' }),
  /** Where mails are posted to. In development and test they go to the local inbox without it. */
  WATTLE_MAIL_URL: Type.Optional(url(['http', 'https'])),
  /** Sent to it as a bearer token. */
  WATTLE_MAIL_TOKEN: Type.Optional(Type.String()),
  /** One "network,country" a line, best given as WATTLE_GEOIP_FILE; without it nobody's country is known. */
  WATTLE_GEOIP: Type.Optional(Type.String({ description: 'lines of "network,country"' })),
})

export type UserConfig = Static<typeof schema>

/** Throws ConfigError, with a sentence for each variable that is missing or wrong. */
export function userConfig(env: Environment = process.env): UserConfig {
  const config = loadConfig(schema, env, {
    check: {
      WATTLE_REDIS_CACHE_URL: parseRedisUrl,
      WATTLE_REDIS_STATE_URL: parseRedisUrl,
      WATTLE_ACCESS_SIGNING_KEY: readSigningKeys,
      WATTLE_SESSION_SECRET: readSecrets,
      WATTLE_GEOIP: countriesFrom,
    },
  })
  const isLocal = config.WATTLE_ENV === 'development' || config.WATTLE_ENV === 'test'
  if (!isLocal && config.WATTLE_MAIL_URL === undefined) {
    throw new ConfigError([
      `WATTLE_MAIL_URL is not set, and in ${config.WATTLE_ENV} there is no local inbox: set it to a URL that takes mails by POST.`,
    ])
  }
  return config
}
