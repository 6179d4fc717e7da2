import { createCache, type Cache } from '@wattle/cache'
import { accountRoutes, operatorRoutes, sessionRoutes, userRoutes } from '@wattle/contracts'
import { connectRedis, keySpace, type RedisConnection } from '@wattle/redis'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { userCache, type UserCache } from '../src/cache.ts'
import { startUser, type UserWorld } from './world.ts'

/** What each write changes of what is cached. */
const changes: Record<string, readonly ('profile' | 'preferences')[]> = {
  updateMe: ['profile'],
  updatePreferences: ['preferences'],
  // A person who is new is in no cache.
  register: [],
  // These change passwords, sessions, codes and the status of an account, none of which is cached.
  login: [],
  refresh: [],
  logout: [],
  nameSession: [],
  endSession: [],
  endOtherSessions: [],
  endUserSessions: [],
  setUserStatus: [],
  revoke: [],
  verifyEmail: [],
  sendVerification: [],
  forgotPassword: [],
  resetPassword: [],
  changePassword: [],
}
const bodies: Record<string, object> = {
  updateMe: { name: 'Another Name' },
  updatePreferences: { dueReminderDays: 9 },
}

let world: UserWorld
let redis: RedisConnection
let other: Cache
let plan: UserCache
beforeAll(async () => {
  world = await startUser()
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
  const routes = { ...userRoutes, ...accountRoutes, ...sessionRoutes, ...operatorRoutes }
  const writes = Object.values(routes).filter(({ method }) => method !== 'GET')

  test('the table names every write', () => {
    expect(Object.keys(changes).toSorted()).toEqual(writes.map(({ name }) => name).toSorted())
  })

  test.each(writes.filter(({ name }) => (changes[name] ?? []).length > 0))(
    '$method $path',
    async ({ name, method, path }) => {
      const person = await world.register()
      const userId = person.profile.id
      for (const kind of changes[name] ?? []) {
        const old = await eventually(async () => {
          const read = await plan[kind].read(userId)
          expect(read.tier).toBe('l1')
          return read.value
        })
        const reply = await person.call(method as 'PATCH', path, bodies[name])
        expect(reply.statusCode).toBe(200)
        await eventually(async () => {
          expect(await plan[kind].get(userId)).toEqual(reply.json())
        })
        expect(reply.json()).not.toEqual(old)
      }
    },
  )
})
