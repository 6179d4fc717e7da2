import type { Cache } from '@wattle/cache'
import type { Database } from '@wattle/database'
import {
  accessTokens,
  currentKeys,
  keysFor,
  publishJwks,
  refreshTokens,
  type KeyRing,
  type RevocationPublisher,
  type SigningKeys,
} from '@wattle/identity'
import type { RedisConnection } from '@wattle/redis'
import { createRegistry, createService, type ServiceOptions } from '@wattle/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { addAccountRoutes } from './accounts.ts'
import { background as runInBackground } from './background.ts'
import { userCache, type UserCache } from './cache.ts'
import { addInboxPage, type LocalInbox } from './mail/inbox.ts'
import type { Mailer } from './mail/mailer.ts'
import { addOperatorRoutes } from './operator/routes.ts'
import type { Passwords } from './passwords.ts'
import { addPreferencesRoutes } from './preferences.ts'
import { addProfileRoutes } from './profile.ts'
import type { DB } from './schema.ts'
import { deviceTokens } from './security/devices.ts'
import { addEmailRoutes } from './security/email-routes.ts'
import { addSecurityEventRoutes } from './security/event-routes.ts'
import { loginAttempts, type LockoutRules } from './security/login-attempts.ts'
import { addPasswordRoutes } from './security/password-routes.ts'
import { identityMetrics } from './session/metrics.ts'
import { originOf, type CountryOf } from './session/origin.ts'
import { addSessionRoutes } from './session/routes.ts'
import { defaultRules, type SessionRules } from './session/rules.ts'
import { sessionStatistics } from './session/statistics.ts'
import { sessionTouch } from './session/touch.ts'

export type UserDeps = Pick<ServiceOptions, 'config' | 'log' | 'registry' | 'authenticate'> & {
  readonly database: Database<DB>
  readonly redis: Pick<RedisConnection, 'ping'>
  /** Of the group that carries revocations. */
  readonly state: Pick<RedisConnection, 'ping'>
  readonly cache: Cache
  readonly passwords: Passwords
  /** The keys that sign access tokens. */
  readonly signingKeys: SigningKeys | KeyRing
  /** What refresh and device tokens are derived from; the first makes new ones, all are known. */
  readonly secrets: readonly [Buffer, ...Buffer[]]
  readonly publisher: Pick<RevocationPublisher, 'flush'>
  readonly mailer: Mailer
  /** Shown at `/inbox`, in development and test only. */
  readonly inbox?: LocalInbox
  readonly rules?: SessionRules
  readonly lockout?: LockoutRules
  readonly countryOf?: CountryOf
  readonly now?: () => number
}

/** The user service, ready to listen or to be injected into, and what it caches. */
export async function buildUser(
  deps: UserDeps,
): Promise<{ app: FastifyInstance; cache: UserCache }> {
  const { config, log, authenticate, registry = createRegistry('user') } = deps
  const { database, redis, state, passwords, signingKeys, secrets, publisher, mailer } = deps
  const { rules = defaultRules, now = Date.now } = deps

  const app = await createService({
    config,
    registry,
    ...(log === undefined ? {} : { log }),
    ...(authenticate === undefined ? {} : { authenticate }),
    name: 'user',
    version: '0.1.0',
    description: 'Accounts, profiles, sessions, and the tokens that people log in for',
    checks: {
      database: () => database.health(1_000),
      redis: { required: false, check: () => redis.ping(500) },
      'redis state': { required: false, check: () => state.ping(500) },
    },
  })
  const cache = userCache({ cache: deps.cache, database, log: app.log })
  app.addHook('onClose', cache.close)
  await app.register(accessTokens, { signingKeys, now })

  const background = runInBackground({ log: app.log })
  // Apart, so that a flood of forgotten passwords crowds out no entry of the security log.
  const mailing = runInBackground({ log: app.log, concurrency: 2, maxWaiting: 64 })
  app.addHook('onClose', () => Promise.all([background.settled(), mailing.settled()]))
  const metrics = identityMetrics({
    registry,
    statistics: () => sessionStatistics(database, now()),
  })
  const shared = {
    background,
    database,
    mailer,
    mailing,
    metrics,
    now,
    originOf: (request: FastifyRequest) => originOf(request, deps.countryOf),
    passwords,
    publisher,
    rules,
    tokens: app.accessTokens,
    attempts: loginAttempts({
      database,
      secrets,
      now,
      ...(deps.lockout === undefined ? {} : { rules: deps.lockout }),
    }),
  }

  const touch = sessionTouch({ database, rules, now })
  app.addHook('preHandler', (request, _reply, done) => {
    const sessionId = request.principal?.sessionId
    if (sessionId !== undefined && touch.isDue(sessionId)) {
      const origin = shared.originOf(request)
      background.run('a use of a session', () => touch.write(sessionId, origin))
    }
    done()
  })

  addAccountRoutes(app, { ...shared, devices: deviceTokens({ secrets }) })
  addSessionRoutes(app, {
    ...shared,
    refreshTokens: refreshTokens({ keys: keysFor('refresh token', secrets) }),
  })
  addEmailRoutes(app, shared)
  addPasswordRoutes(app, shared)
  addSecurityEventRoutes(app, { database })
  addOperatorRoutes(app, shared)
  addProfileRoutes(app, { database, cache })
  addPreferencesRoutes(app, { database, cache })
  publishJwks(app, () => currentKeys(signingKeys).jwks)
  if (deps.inbox !== undefined) addInboxPage(app, deps.inbox)
  return { app, cache }
}
