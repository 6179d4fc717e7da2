import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { createCache } from '@wattle/cache'
import type { Id, Profile, Tokens } from '@wattle/contracts'
import { migrate, openDatabase } from '@wattle/database'
import {
  bearerAuthentication,
  generateSigningKey,
  internalTokens,
  internalTokenVerifier,
  liveRevocations,
  liveSet,
  localKeys,
  readSigningKeys,
  revocationChannel,
  revocationPublisher,
  revocations,
} from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import { baseConfig, createLogger, createRegistry, loadConfig } from '@wattle/service'
import { startDatabase, startRedis } from '@wattle/testkit'
import type { InjectOptions } from 'fastify'
import { Type } from 'typebox'
import { buildUser } from '../src/app.ts'
import { localInbox } from '../src/mail/inbox.ts'
import { createPasswords, type PasswordCost } from '../src/passwords.ts'
import type { DB } from '../src/schema.ts'
import type { LockoutRules } from '../src/security/login-attempts.ts'
import type { CountryOf } from '../src/session/origin.ts'
import { revocationLog } from '../src/session/revocation-log.ts'
import type { SessionRules } from '../src/session/rules.ts'

export const migrations = fileURLToPath(new URL('../migrations', import.meta.url))

/** So cheap that tests are quick; passwords.test.ts holds the real one. */
export const cheapCost: PasswordCost = { memoryKib: 64, passes: 1, lanes: 1 }

export const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'

type LoginOptions = {
  from?: string
  userAgent?: string
  deviceToken?: string
  sessionName?: string
}

/** The user service on a real PostgreSQL and Redis, called as the gateway would call it. */
export async function startUser(
  options: {
    cost?: PasswordCost
    maxWaiting?: number
    rules?: SessionRules
    lockout?: LockoutRules
    countryOf?: CountryOf
  } = {},
) {
  /** Added to the time that the service sees. */
  const clock = { aheadMs: 0 }
  const now = () => Date.now() + clock.aheadMs
  const [postgres, redisServer, stateServer] = await Promise.all([
    startDatabase({ service: 'user', migrations, migrate }),
    startRedis({ acl: true }),
    startRedis({ acl: true, group: 'state' }),
  ])
  const config = loadConfig(Type.Object({ ...baseConfig }), {
    WATTLE_ENV: 'test',
    WATTLE_SERVICE_PORT: '0',
    WATTLE_LOG_LEVEL: 'trace',
  })
  const logLines: string[] = []
  const destination = { write: (line: string) => void logLines.push(line) }
  const log = createLogger({ name: 'user', config, destination })
  const registry = createRegistry('user')
  const database = openDatabase<DB>({ url: postgres.url, name: 'user', log })
  const redis = connectRedis({ url: redisServer.urlFor('user'), name: 'user', log })
  const keys = keySpace({ environment: 'test', service: 'user' })
  const cache = createCache({ redis, keys, log, registry })
  const state = connectRedis({ url: stateServer.urlFor('user'), name: 'user', log })
  await Promise.all([redis.whenReady(5_000), state.whenReady(5_000)])

  const channel = revocationChannel({ redis: state, keys })
  const publisher = revocationPublisher({
    log: revocationLog({ database, now }),
    live: liveSet({ redis: state, keys }),
    channel,
    everyMs: 100,
    now,
  })
  publisher.start()
  /** What a gateway knows. */
  const gatewayState = connectRedis({ url: stateServer.urlFor('gateway'), name: 'gateway', log })
  const view = revocations({
    channel: (listener) => revocationChannel({ redis: gatewayState, keys, listener }),
    source: liveRevocations({ redis: gatewayState, keys, now }),
    now,
    retryMs: 50,
  })

  const signingKeys = readSigningKeys(generateSigningKey())
  const gateway = internalTokens({ keys: readSigningKeys(generateSigningKey()), now })
  const authenticate = bearerAuthentication(
    internalTokenVerifier({ keys: localKeys(gateway.jwks), service: 'user', now }),
  )
  const { cost = cheapCost, maxWaiting = 128, rules, lockout, countryOf } = options
  const inbox = localInbox({ now })
  const passwords = createPasswords({ cost, maxWaiting })
  const kit = { config, log, registry, authenticate }
  const deps = {
    ...kit,
    database,
    redis,
    state,
    cache,
    passwords,
    signingKeys,
    secrets: [randomBytes(32)] as const,
    publisher,
    mailer: inbox,
    inbox,
    now,
    ...(rules === undefined ? {} : { rules }),
    ...(lockout === undefined ? {} : { lockout }),
    ...(countryOf === undefined ? {} : { countryOf }),
  }
  const { app } = await buildUser(deps)

  /** Calls as this person, with the token that the gateway would send. */
  function callAs(userId: Id<'usr'>) {
    const principal = { userId, roles: [], tokenId: `tok_${userId}` } as const
    return (method: 'GET' | 'PATCH', url: string, payload?: InjectOptions['payload']) => {
      const authorization = `Bearer ${gateway.tokenFor(principal, 'user')}`
      return app.inject({
        method,
        url,
        headers: { authorization },
        ...(payload ? { payload } : {}),
      })
    }
  }

  let people = 0
  /** A new person with an account. */
  async function register(changes: Record<string, unknown> = {}) {
    const body = {
      email: `person${people++}@example.com`,
      password: 'correct horse battery',
      name: 'Ada Obi',
      ...changes,
    }
    const reply = await app.inject({ method: 'POST', url: '/auth/register', payload: body })
    if (reply.statusCode !== 201) throw new Error(`${reply.statusCode} ${reply.body}`)
    const profile = reply.json<Profile>()
    return { ...body, profile, call: callAs(profile.id) }
  }

  const login = (
    email: string,
    password: string,
    { from = '198.51.100.7', userAgent = firefox, ...more }: LoginOptions = {},
  ) =>
    app.inject({
      method: 'POST',
      url: '/auth/login',
      headers: { 'x-forwarded-for': from, 'user-agent': userAgent },
      payload: { email, password, ...more },
    })

  const refresh = (
    refreshToken: string,
    { from = '198.51.100.7', userAgent = firefox }: LoginOptions = {},
  ) =>
    app.inject({
      method: 'POST',
      url: '/auth/refresh',
      headers: { 'x-forwarded-for': from, 'user-agent': userAgent },
      payload: { refreshToken },
    })

  /** What the gateway sends in the place of an access token. */
  const authorizationOf = async (accessToken: string) =>
    `Bearer ${gateway.tokenFor(await app.accessTokens.verify(accessToken), 'user')}`

  /** Calls with an access token, as the gateway would once it has checked it. */
  async function callWith(accessToken: string) {
    const principal = await app.accessTokens.verify(accessToken)
    return async (
      method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
      url: string,
      payload?: object,
    ) => {
      const token = gateway.tokenFor(principal, 'user')
      const headers = { authorization: `Bearer ${token}`, 'user-agent': firefox }
      return app.inject({ method, url, headers, ...(payload ? { payload } : {}) })
    }
  }

  /** What a gateway would say of this access token now. */
  const verdict = async (accessToken: string) =>
    view.check(await app.accessTokens.verify(accessToken))

  /** A new person, logged in. */
  async function loggedIn(options: LoginOptions = {}) {
    const person = await register()
    const reply = await login(person.email, person.password, options)
    if (reply.statusCode !== 200) throw new Error(`${reply.statusCode} ${reply.body}`)
    const tokens = reply.json<Tokens & { deviceToken: string }>()
    return { ...person, tokens, with: await callWith(tokens.accessToken) }
  }

  /** Logged in as an operator. */
  async function operator() {
    const person = await register()
    await postgres.query(`update users set roles = '{operator}' where id = $1`, [person.profile.id])
    const tokens = (await login(person.email, person.password)).json<Tokens>()
    return { ...person, tokens, with: await callWith(tokens.accessToken) }
  }

  /** Types in the security log of a person, oldest first. */
  async function eventsOf(userId: string): Promise<string[]> {
    const sql = 'select type from security_events where user_id = $1 order by at, id'
    return (await postgres.query(sql, [userId])).map(({ type }) => String(type))
  }

  async function stop(): Promise<void> {
    await app.close()
    cache.close()
    await publisher.close()
    channel.close()
    await view.close()
    await Promise.all([redis.close(), state.close(), gatewayState.close()])
    await database.close()
    await Promise.all([redisServer.stop(), stateServer.stop(), postgres.drop()])
  }

  return {
    app,
    authorizationOf,
    callAs,
    callWith,
    clock,
    database,
    deps,
    eventsOf,
    inbox,
    loggedIn,
    login,
    logLines,
    operator,
    people: app.accessTokens,
    postgres,
    redisServer,
    refresh,
    register,
    stateServer,
    stop,
    verdict,
    view,
  }
}

export type UserWorld = Awaited<ReturnType<typeof startUser>>
