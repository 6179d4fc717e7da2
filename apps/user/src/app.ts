import type { Cache } from '@wattle/cache'
import type { Database } from '@wattle/database'
import {
  accessTokens,
  bearerAuthentication,
  publishJwks,
  type SigningKeys,
  type Verifier,
} from '@wattle/identity'
import type { RedisConnection } from '@wattle/redis'
import { createService, type BaseConfig, type Logger, type ServiceContext } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import { addAccountRoutes } from './accounts.ts'
import { cachePlan } from './cache.ts'
import type { Passwords } from './passwords.ts'
import { addPreferencesRoutes } from './preferences.ts'
import { addProfileRoutes } from './profile.ts'
import type { DB } from './schema.ts'

export type UserDeps = {
  readonly config: BaseConfig
  readonly log?: Logger
  readonly registry?: ServiceContext['registry']
  readonly database: Database<DB>
  readonly redis: RedisConnection
  readonly cache: Cache
  readonly passwords: Passwords
  /** The keys that sign access tokens. */
  readonly signingKeys: SigningKeys
  /** Verifies the gateway's internal tokens for this service. */
  readonly verifier: Verifier
}

/** The user service as a value: `listen` or `inject` it. */
export async function buildUser(deps: UserDeps): Promise<FastifyInstance> {
  const { config, log, registry, database, redis, cache, passwords, signingKeys } = deps
  const app = await createService({
    name: 'user',
    version: '0.1.0',
    description: 'Accounts, profiles, preferences, and the tokens people log in for.',
    config,
    ...(log === undefined ? {} : { log }),
    ...(registry === undefined ? {} : { registry }),
    authenticate: bearerAuthentication(deps.verifier),
    checks: {
      database: () => database.health(1_000),
      redis: { required: false, check: () => redis.ping(500) },
    },
  })
  const plan = cachePlan(cache, database)
  addAccountRoutes(app, { database, passwords, tokens: accessTokens({ keys: signingKeys }) })
  addProfileRoutes(app, { database, cache, plan })
  addPreferencesRoutes(app, { database, cache, plan })
  publishJwks(app, signingKeys.jwks)
  return app
}
