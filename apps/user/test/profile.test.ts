import { newId, type Preferences, type Profile } from '@wattle/contracts'
import { eventually } from '@wattle/testkit'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUser, type UserWorld } from './world.ts'

let world: UserWorld
beforeAll(async () => {
  world = await startUser()
})
afterAll(() => world.stop())

type Person = Awaited<ReturnType<UserWorld['register']>>

/** Reads until the reply comes from the cache: the first fill may still be on its way. */
async function untilHit({ call }: Person, url: string) {
  return eventually(async () => {
    const reply = await call('GET', url)
    expect(reply.headers['x-cache-status']).toBe('HIT')
    return reply
  })
}

describe.each(['/me', '/me/preferences'])('S1 %s', (url) => {
  test('is a MISS first, then a HIT with the same body, and says so in its headers', async () => {
    const person = await world.register()
    const first = await person.call('GET', url)
    expect(first.statusCode).toBe(200)
    expect(first.headers).toMatchObject({
      'x-cache-status': 'MISS',
      'cache-status': expect.stringMatching(/^wattle-user; fwd=miss; stored/) as string,
      'cache-control': 'no-store',
    })
    const second = await untilHit(person, url)
    expect(second.json()).toEqual(first.json())
    const ttl = Number(second.headers['x-cache-ttl'])
    expect(ttl).toBeGreaterThan(3_000)
    expect(ttl).toBeLessThanOrEqual(3_600)
    expect(second.headers['cache-status']).toMatch(/^wattle-user; hit;/)
    expect(second.headers['x-cache-key']).toContain(person.profile.id)
    expect(second.headers['x-cache-response-time']).toMatch(/^\d+\.\dms$/)
  })

  test('needs a token of the gateway for this service', async () => {
    const headers = [undefined, 'Bearer x', 'Basic dXNlcjpwYXNz'].map((authorization) =>
      authorization === undefined ? {} : { authorization },
    )
    for (const given of headers) {
      const reply = await world.app.inject({ url, headers: given })
      expect(reply.statusCode).toBe(401)
      expect(reply.json()).toMatchObject({ code: 'UNAUTHENTICATED' })
      expect(reply.headers['www-authenticate']).toMatch('Bearer')
    }
  })

  test('does not take an access token itself: only the gateway does', async () => {
    const { email, password } = await world.register()
    const { accessToken } = (await world.login(email, password)).json<{ accessToken: string }>()
    const headers = { authorization: `Bearer ${accessToken}` }
    expect((await world.app.inject({ url, headers })).statusCode).toBe(401)
  })

  test('of an account that is gone is 401', async () => {
    const reply = await world.callAs(newId('usr'))('GET', url)
    expect(reply.statusCode).toBe(401)
  })

  test('shows nobody anything of others', async () => {
    const [one, other] = [await world.register(), await world.register()]
    await untilHit(one, url)
    await untilHit(other, url)
    const bodies = [await one.call('GET', '/me'), await other.call('GET', '/me')]
    expect(bodies.map((reply) => reply.json<Profile>().id)).toEqual([
      one.profile.id,
      other.profile.id,
    ])
  })
})

describe('S1 a change', () => {
  test('of the profile is seen by the very next read, also when the old one was cached', async () => {
    const person = await world.register()
    for (let n = 1; n <= 5; n++) {
      await untilHit(person, '/me')
      const changed = await person.call('PATCH', '/me', { name: `Name ${n}`, phone: null })
      expect(changed.statusCode).toBe(200)
      expect(changed.json()).toMatchObject({ name: `Name ${n}`, phone: null, version: n + 1 })
      expect((await person.call('GET', '/me')).json()).toEqual(changed.json())
    }
  })

  test('of preferences is seen by the very next read, and leaves the other fields', async () => {
    const person = await world.register()
    const before = (await untilHit(person, '/me/preferences')).json<Preferences>()
    const changed = await person.call('PATCH', '/me/preferences', {
      language: 'yo',
      smsNotifications: true,
    })
    expect(changed.json()).toEqual({
      ...before,
      language: 'yo',
      smsNotifications: true,
      version: 2,
      updatedAt: expect.any(String) as string,
    })
    expect((await person.call('GET', '/me/preferences')).json()).toEqual(changed.json())
    const again = await person.call('PATCH', '/me/preferences', { dueReminderDays: 0 })
    expect(again.json()).toMatchObject({ language: 'yo', dueReminderDays: 0, version: 3 })
  })

  test.each([
    ['/me', { name: 'Other' }],
    ['/me/preferences', { language: 'ha' }],
  ])('at %s with another version is refused, and says which it is', async (url, change) => {
    const { call } = await world.register()
    expect((await call('PATCH', url, { ...change, version: 1 })).statusCode).toBe(200)
    const reply = await call('PATCH', url, { ...change, version: 1 })
    expect(reply.statusCode).toBe(409)
    expect(reply.json()).toMatchObject({
      code: 'VERSION_CONFLICT',
      detail: expect.stringContaining('version is 2') as string,
    })
  })

  test('that is cut off before its commit did not happen, and what is cached stays right', async () => {
    const person = await world.register()
    await untilHit(person, '/me')
    const changed = await world.database.kysely.connection().execute(async (holder) => {
      await sql`begin`.execute(holder)
      await sql`select from users where id = ${person.profile.id} for update`.execute(holder)
      const change = Promise.resolve(person.call('PATCH', '/me', { name: 'Perhaps' }))
      // The connection of the change is lost while its statement runs.
      await eventually(async () => {
        const { rows } = await sql`
          select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid)
          where not granted and datname = current_database()`.execute(holder)
        expect(rows).toHaveLength(1)
      })
      const reply = await change
      await sql`rollback`.execute(holder)
      return reply
    })
    expect(changed.statusCode).toBe(503)
    expect((await person.call('GET', '/me')).json()).toEqual(person.profile)
  })

  test('by ten at once with one version is made once', async () => {
    const { call } = await world.register()
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, n) => call('PATCH', '/me', { name: `N${n}`, version: 1 })),
    )
    expect(replies.filter(({ statusCode }) => statusCode === 200)).toHaveLength(1)
    expect(replies.filter(({ statusCode }) => statusCode === 409)).toHaveLength(9)
    const [winner] = replies.filter(({ statusCode }) => statusCode === 200)
    expect((await call('GET', '/me')).json()).toEqual(winner?.json())
  })

  test.each([
    ['/me', {}, ''],
    ['/me', { version: 1 }, ''],
    ['/me', { email: 'new@example.com' }, 'email'],
    ['/me', { name: null }, 'name'],
    ['/me', { phone: 'x' }, 'phone'],
    ['/me', { name: 'x', version: 0 }, 'version'],
    ['/me', { name: 'x', version: '1' }, 'version'],
    ['/me/preferences', { language: 'fr' }, 'language'],
    ['/me/preferences', { dueReminderDays: 31 }, 'dueReminderDays'],
    ['/me/preferences', { dueReminderDays: 1.5 }, 'dueReminderDays'],
    ['/me/preferences', { emailNotifications: 'yes' }, 'emailNotifications'],
    ['/me/preferences', { version: 1 }, ''],
  ])('at %s of %j is refused and names the field %j', async (url, change, field) => {
    const { call } = await world.register()
    const reply = await call('PATCH', url, change)
    expect(reply.statusCode).toBe(400)
    expect(reply.json()).toMatchObject({ errors: [{ in: 'body', field }] })
    expect((await call('GET', '/me')).json()).toMatchObject({ version: 1 })
  })
})
