import { createCache, type Cache } from '@wattle/cache'
import {
  accountRoutes,
  operatorRoutes,
  sessionRoutes,
  userRoutes,
  type Tokens,
} from '@wattle/contracts'
import { connectRedis, keySpace, type RedisConnection } from '@wattle/redis'
import { countWriteRoutes, eventually } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { userCache, type UserCache } from '../src/cache.ts'
import { readPreferences } from '../src/preferences-store.ts'
import { readProfile } from '../src/profile-store.ts'
import { startUser, type UserWorld } from './world.ts'

type Person = Awaited<ReturnType<UserWorld['loggedIn']>>
type CachedKind = 'profile' | 'preferences'
type Reply = Promise<{ statusCode: number }>

/** Makes the write, and says what it changes of what is cached. */
const writes: Record<string, { changes: readonly CachedKind[]; write: (person: Person) => Reply }> =
  {
    updateMe: {
      changes: ['profile'],
      write: (person) => person.with('PATCH', '/me', { name: 'Another Name' }),
    },
    updatePreferences: {
      changes: ['preferences'],
      write: (person) => person.with('PATCH', '/me/preferences', { dueReminderDays: 9 }),
    },
    // Somebody who is new is in no cache; the others change passwords, codes and sessions, which are not cached.
    register: { changes: [], write: () => post('/auth/register', { ...newcomer, name: 'New' }) },
    login: { changes: [], write: ({ email, password }) => world.login(email, password) },
    refresh: { changes: [], write: ({ tokens }) => world.refresh(tokens.refreshToken) },
    logout: { changes: [], write: (person) => person.with('POST', '/auth/logout') },
    nameSession: {
      changes: [],
      write: (person) => person.with('PATCH', sessionOf(person), { name: 'Kitchen tablet' }),
    },
    endSession: { changes: [], write: (person) => person.with('DELETE', sessionOf(person)) },
    endOtherSessions: { changes: [], write: (person) => person.with('DELETE', '/me/sessions') },
    verifyEmail: {
      changes: [],
      write: async ({ email }) =>
        post('/auth/email/verify', { code: await codeIn(email, /Your e-mail/) }),
    },
    sendVerification: {
      changes: [],
      write: (person) => person.with('POST', '/me/email/verification'),
    },
    forgotPassword: { changes: [], write: ({ email }) => post('/auth/password/forgot', { email }) },
    resetPassword: {
      changes: [],
      write: async ({ email }) => {
        await post('/auth/password/forgot', { email })
        const code = await codeIn(email, /Another password/)
        return post('/auth/password/reset', { code, password: 'another long password' })
      },
    },
    changePassword: {
      changes: [],
      write: (person) =>
        person.with('POST', '/me/password', {
          currentPassword: person.password,
          newPassword: 'another long password',
        }),
    },
    endUserSessions: {
      changes: [],
      write: ({ profile }) => operator.with('DELETE', `/operator/users/${profile.id}/sessions`),
    },
    setUserStatus: {
      changes: [],
      write: ({ profile }) =>
        operator.with('PUT', `/operator/users/${profile.id}/status`, { status: 'disabled' }),
    },
    revoke: {
      changes: [],
      write: ({ tokens }) =>
        operator.with('POST', '/operator/revocations', { id: tokens.sessionId }),
    },
  }

const newcomer = { email: 'newcomer@example.com', password: 'correct horse battery' }
const sessionOf = ({ tokens }: { tokens: Tokens }) => `/me/sessions/${tokens.sessionId}`
const post = (url: string, payload: object) =>
  world.app.inject({ method: 'POST', url, payload }) as Reply

/** The code in the newest mail to this address with this subject. */
const codeIn = (email: string, subject: RegExp) =>
  eventually(async () => {
    const mail = world.inbox.mails.find((one) => one.to === email && subject.test(one.subject))
    const code = /^[A-Za-z0-9_-]{43}$/m.exec(mail?.text ?? '')?.[0]
    if (code === undefined) throw new Error(`no mail to ${email}`)
    return code
  })

let world: UserWorld
let operator: Awaited<ReturnType<UserWorld['operator']>>
let redis: RedisConnection
let other: Cache
let plan: UserCache
beforeAll(async () => {
  world = await startUser()
  operator = await world.operator()
  const { log, database } = world.deps
  redis = connectRedis({ url: world.redisServer.urlFor('user'), name: 'other', log })
  other = createCache({ redis, keys: keySpace({ environment: 'test', service: 'user' }), log })
  plan = userCache({ cache: other, database, log })
  await eventually(() => expect(other.synchronized).toBe(true))
})
afterAll(async () => {
  await plan.close()
  other.close()
  await redis.close()
  await world.stop()
})

describe('C12 after every write of the user service nothing old is read in another process', () => {
  const truth = { profile: readProfile, preferences: readPreferences }
  const kinds = Object.keys(truth) as CachedKind[]

  test('the table names every write route of the app', () => {
    const routes = { ...userRoutes, ...accountRoutes, ...sessionRoutes, ...operatorRoutes }
    const named = Object.values(routes).filter(({ name }) => name in writes)
    for (const { method, path: url } of named)
      expect(world.app.hasRoute({ method, url })).toBe(true)
    expect(Object.keys(writes)).toHaveLength(named.length)
    expect(named).toHaveLength(countWriteRoutes(world.app))
  })

  test('the reads are of every kind that is cached', () => {
    const cached = Object.entries(plan).filter(([, part]) => 'read' in part)
    expect(cached.map(([name]) => name).toSorted()).toEqual(kinds.toSorted())
  })

  test.each(Object.entries(writes))('%s', async (_name, { changes, write }) => {
    const person = await world.loggedIn()
    const userId = person.profile.id
    const old: Partial<Record<CachedKind, unknown>> = {}
    for (const kind of kinds) {
      await eventually(async () => {
        const read = await plan[kind].read(userId)
        expect(read.tier).toBe('l1')
        old[kind] = read.value
      })
    }

    const reply = await write(person)
    expect(reply.statusCode, JSON.stringify(reply)).toBeLessThan(300)
    for (const kind of kinds) {
      const now = await truth[kind](world.database, userId)
      if (changes.includes(kind)) expect(now).not.toEqual(old[kind])
      else expect(now).toEqual(old[kind])
      await eventually(async () => expect(await plan[kind].get(userId)).toEqual(now))
    }
  })
})
