import type { Cache } from '@wattle/cache'
import type { Database } from '@wattle/database'
import { accessTokens, publishJwks, type SigningKeys } from '@wattle/identity'
import type { RedisConnection } from '@wattle/redis'
import { createService, type ServiceOptions } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import { addAccountRoutes } from './accounts.ts'
import { userCache } from './cache.ts'
import type { Passwords } from './passwords.ts'
import { addPreferencesRoutes } from './preferences.ts'
import { addProfileRoutes } from './profile.ts'
import type { DB } from './schema.ts'

export type UserDeps = Pick<ServiceOptions, 'config' | 'log' | 'registry' | 'authenticate'> & {
  readonly database: Database<DB>
  readonly redis: Pick<RedisConnection, 'ping'>
  readonly cache: Cache
  readonly passwords: Passwords
  /** The keys that sign access tokens. */
  readonly signingKeys: SigningKeys
}

/** The user service, ready to listen or to be injected into. */
export async function buildUser(deps: UserDeps): Promise<FastifyInstance> {
  const { database, redis, passwords, signingKeys, ...kit } = deps
  const app = await createService({
    ...kit,
    name: 'user',
    version: '0.1.0',
    description: 'Accounts, profiles, preferences, and the tokens that people log in for',
    checks: {
      database: () => database.health(1_000),
      redis: { required: false, check: () => redis.ping(500) },
    },
  })
  const cache = userCache({ cache: deps.cache, database, log: app.log })
  app.addHook('onClose', cache.close)
  await app.register(accessTokens, { signingKeys })
  addAccountRoutes(app, { database, passwords, tokens: app.accessTokens })
  addProfileRoutes(app, { database, cache })
  addPreferencesRoutes(app, { database, cache })
  publishJwks(app, signingKeys.jwks)
  return app
}
