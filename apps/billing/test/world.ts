import { fileURLToPath } from 'node:url'
import { createCache } from '@wattle/cache'
import { newId, type Id } from '@wattle/contracts'
import { migrate, openDatabase } from '@wattle/database'
import {
  bearerAuthentication,
  generateSigningKey,
  internalTokens,
  internalTokenVerifier,
  localKeys,
  readSigningKeys,
  serviceTokens,
} from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import { baseConfig, createLogger, createRegistry, loadConfig } from '@wattle/service'
import { fakeClock, startDatabase, startRedis } from '@wattle/testkit'
import { Type } from 'typebox'
import { buildBilling } from '../src/app.ts'
import type { Biller } from '../src/biller.ts'
import { sandboxBiller } from '../src/sandbox-biller.ts'
import type { DB } from '../src/schema.ts'

export const migrations = fileURLToPath(new URL('../migrations', import.meta.url))

/** Noon in Lagos in the middle of a month: 2026-11-20. */
export const startMs = Date.UTC(2026, 10, 20, 11)

export const startTestDatabase = () => startDatabase({ service: 'billing', migrations, migrate })

const quickEvents = {
  blockMs: 100,
  claimAfterMs: 1_000,
  retry: { maxAttempts: 3, baseMs: 10 },
}

/** The billing service on a real PostgreSQL and Redis, called as the gateway would call it. */
export async function startBilling(options: { biller?: Biller; stateUrl?: string } = {}) {
  const [postgres, redisServer] = await Promise.all([
    startTestDatabase(),
    startRedis({ acl: true }),
  ])
  const clock = fakeClock(startMs)
  const { now } = clock
  const config = loadConfig(Type.Object({ ...baseConfig }), {
    WATTLE_ENV: 'test',
    WATTLE_SERVICE_PORT: '0',
    WATTLE_LOG_LEVEL: 'trace',
  })
  const logLines: string[] = []
  const destination = { write: (line: string) => void logLines.push(line) }
  const log = createLogger({ name: 'billing', config, destination })
  const registry = createRegistry('billing')
  const database = openDatabase<DB>({ url: postgres.url, name: 'billing', log })
  const redis = connectRedis({ url: redisServer.urlFor('billing'), name: 'billing', log })
  const keys = keySpace({ environment: 'test', service: 'billing' })
  const cache = createCache({ redis, keys, log, registry })
  await redis.whenReady(5_000)

  const gateway = internalTokens({ keys: readSigningKeys(generateSigningKey()) })
  const payment = serviceTokens({
    keys: readSigningKeys(generateSigningKey()),
    service: 'payment',
  })
  const authenticate = bearerAuthentication(
    internalTokenVerifier({
      keys: localKeys(gateway.jwks),
      service: 'billing',
      callers: { payment: localKeys(payment.jwks) },
    }),
  )
  const biller = options.biller ?? sandboxBiller({ now })
  const deps = { config, log, registry, authenticate, database, redis, cache, biller, now }
  const state =
    options.stateUrl === undefined
      ? undefined
      : connectRedis({ url: options.stateUrl, name: 'billing', log })
  const { app } = await buildBilling({
    ...deps,
    ...(state ? { events: { redis: state, ...quickEvents } } : {}),
  })
  await app.ready()

  /** The token that the gateway would send. */
  const authorizationOf = (userId: Id<'usr'>) =>
    `Bearer ${gateway.tokenFor({ userId, roles: [], tokenId: newId('tok') }, 'billing')}`

  /** Calls as a person. */
  function person(userId: Id<'usr'> = newId('usr')) {
    const headers = () => ({ authorization: authorizationOf(userId) })
    return {
      userId,
      get: (url: string, query: Record<string, string> = {}) =>
        app.inject({ method: 'GET', url, query, headers: headers() }),
      link: (body: object, extra: Record<string, string> = {}) =>
        app.inject({
          method: 'POST',
          url: '/bills/accounts',
          headers: { ...headers(), ...extra },
          payload: body,
        }),
      preview: (body: object) =>
        app.inject({ method: 'POST', url: '/coupons/preview', headers: headers(), payload: body }),
    }
  }

  /** Calls as the payment service, or with another token. */
  const reserve = (
    body: object,
    { token = payment.tokenFor('billing'), ...extra }: Record<string, string> = {},
  ) =>
    app.inject({
      method: 'POST',
      url: '/reservations',
      headers: { authorization: `Bearer ${token}`, ...extra },
      payload: body,
    })

  async function stop(): Promise<void> {
    await app.close()
    cache.close()
    await Promise.all([redis.close(), state?.close()])
    await database.close()
    await Promise.all([redisServer.stop(), postgres.drop()])
  }

  return {
    app,
    authorizationOf,
    clock,
    database,
    deps,
    gateway,
    logLines,
    payment,
    person,
    postgres,
    redisServer,
    reserve,
    stop,
  }
}

export type BillingWorld = Awaited<ReturnType<typeof startBilling>>
export type Person = ReturnType<BillingWorld['person']>
