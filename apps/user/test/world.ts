import { fileURLToPath } from 'node:url'
import { createCache } from '@wattle/cache'
import type { Id, Profile } from '@wattle/contracts'
import { migrate, openDatabase } from '@wattle/database'
import {
  bearerAuthentication,
  generateSigningKey,
  internalTokens,
  internalTokenVerifier,
  localKeys,
  readSigningKeys,
} from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import { baseConfig, createLogger, createRegistry, loadConfig } from '@wattle/service'
import { startDatabase, startRedis } from '@wattle/testkit'
import type { InjectOptions } from 'fastify'
import { Type } from 'typebox'
import { buildUser } from '../src/app.ts'
import { createPasswords, type PasswordCost } from '../src/passwords.ts'
import type { DB } from '../src/schema.ts'

export const migrations = fileURLToPath(new URL('../migrations', import.meta.url))

/** So cheap that tests are quick; passwords.test.ts holds the real one. */
export const cheapCost: PasswordCost = { memoryKib: 64, passes: 1, lanes: 1 }

/** The user service on a real PostgreSQL and Redis, called as the gateway would call it. */
export async function startUser(options: { cost?: PasswordCost; maxWaiting?: number } = {}) {
  const [postgres, redisServer] = await Promise.all([
    startDatabase({ service: 'user', migrations, migrate }),
    startRedis({ acl: true }),
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
  await redis.whenReady(5_000)

  const signingKeys = readSigningKeys(generateSigningKey())
  const gateway = internalTokens({ keys: readSigningKeys(generateSigningKey()) })
  const authenticate = bearerAuthentication(
    internalTokenVerifier({ keys: localKeys(gateway.jwks), service: 'user' }),
  )
  const { cost = cheapCost, maxWaiting = 128 } = options
  const passwords = createPasswords({ cost, maxWaiting })
  const kit = { config, log, registry, authenticate }
  const deps = { ...kit, database, redis, cache, passwords, signingKeys }
  const app = await buildUser(deps)

  /** Calls as this person, with the token that the gateway would send. */
  function callAs(userId: Id<'usr'>) {
    const token = gateway.tokenFor({ userId, roles: [], tokenId: `tok_${userId}` }, 'user')
    const authorization = `Bearer ${token}`
    return (method: 'GET' | 'PATCH', url: string, payload?: InjectOptions['payload']) =>
      app.inject({ method, url, headers: { authorization }, ...(payload ? { payload } : {}) })
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

  const login = (email: string, password: string) =>
    app.inject({ method: 'POST', url: '/auth/login', payload: { email, password } })

  async function stop(): Promise<void> {
    await app.close()
    cache.close()
    await redis.close()
    await database.close()
    await Promise.all([redisServer.stop(), postgres.drop()])
  }

  return {
    app,
    callAs,
    database,
    deps,
    login,
    logLines,
    people: app.accessTokens,
    postgres,
    redisServer,
    register,
    stop,
  }
}

export type UserWorld = Awaited<ReturnType<typeof startUser>>
