import type { Session, Tokens } from '@wattle/contracts'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { firefox, startUser, type UserWorld } from './world.ts'

let world: UserWorld
beforeAll(async () => {
  world = await startUser()
})
beforeEach(() => {
  world.clock.aheadMs = 0
})
afterAll(() => world.stop())

type Listed = Session & { current: boolean }
const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
const iphone =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1'

async function listed(person: { with: Awaited<ReturnType<UserWorld['callWith']>> }) {
  return (await person.with('GET', '/me/sessions')).json<{ items: Listed[] }>().items
}

describe('T4 the sessions of a person', () => {
  test('are listed with device, address, first and last seen, newest first, and which one asks', async () => {
    const person = await world.loggedIn({ from: '203.0.113.9', sessionName: 'My laptop' })
    await world.login(person.email, person.password, { from: '2001:db8::1', userAgent: iphone })
    const items = await listed(person)
    expect(items).toMatchObject([
      { device: 'Safari on iOS', address: '2001:db8::1', name: null, current: false },
      { device: 'Firefox on Linux', name: 'My laptop', current: true, id: person.tokens.sessionId },
    ])
    for (const { firstSeenAt, lastSeenAt, expiresAt, freshLoginAt } of items) {
      expect(Date.parse(firstSeenAt)).toBeLessThanOrEqual(Date.parse(lastSeenAt))
      expect(Date.parse(expiresAt)).toBeLessThanOrEqual(Date.parse(freshLoginAt))
    }
    expect(JSON.stringify(items)).not.toMatch(/hash|family|fam_/)
  })

  test('are five at most: a sixth login ends the oldest, whose tokens are good no more', async () => {
    const person = await world.loggedIn()
    const logins: Tokens[] = []
    for (let n = 0; n < 5; n++) {
      world.clock.aheadMs += 1_000
      logins.push((await world.login(person.email, person.password)).json<Tokens>())
    }
    const last = await world.callWith(logins.at(-1)?.accessToken ?? '')
    const ids = (await listed({ with: last })).map(({ id }) => id)
    expect(ids).toEqual(logins.map(({ sessionId }) => sessionId).toReversed())
    expect((await world.refresh(person.tokens.refreshToken)).statusCode).toBe(401)
    await eventually(async () =>
      expect(await world.verdict(person.tokens.accessToken)).toBe('revoked'),
    )
    expect(await world.verdict(logins[0]?.accessToken ?? '')).toBe('valid')
    expect(await world.eventsOf(person.profile.id)).toContain('session.ended')
  })

  test('are five at most also when twenty log in at once', async () => {
    const person = await world.register()
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        world.login(person.email, person.password, { from: `198.51.${n}.1` }),
      ),
    )
    expect(replies.map(({ statusCode }) => statusCode)).toEqual(Array(20).fill(200))
    const sql = 'select count(*)::int as live from sessions where user_id = $1 and ended_at is null'
    expect(await world.postgres.query(sql, [person.profile.id])).toEqual([{ live: 5 }])
    const good = await Promise.all(
      replies.map((reply) => world.refresh(reply.json<Tokens>().refreshToken)),
    )
    expect(good.filter(({ statusCode }) => statusCode === 200)).toHaveLength(5)
  }, 30_000)

  test('get a name, another, and none', async () => {
    const person = await world.loggedIn()
    const url = `/me/sessions/${person.tokens.sessionId}`
    for (const name of ['Kitchen tablet', 'Ọ̀fíìsì', null]) {
      const reply = await person.with('PATCH', url, { name })
      expect([reply.statusCode, reply.json<Listed>().name]).toEqual([200, name])
      expect((await listed(person))[0]?.name).toBe(name)
    }
    for (const name of ['', '  ', 'x'.repeat(61), 'a\nb', 7]) {
      expect((await person.with('PATCH', url, { name })).statusCode).toBe(400)
    }
  })

  test('of another person are 404: to name, to end, and in no list', async () => {
    const [person, other] = [await world.loggedIn(), await world.loggedIn()]
    const url = `/me/sessions/${other.tokens.sessionId}`
    expect((await person.with('PATCH', url, { name: 'mine' })).statusCode).toBe(404)
    expect((await person.with('DELETE', url)).statusCode).toBe(404)
    expect((await person.with('DELETE', '/me/sessions')).json()).toEqual({ ended: 0 })
    expect((await world.refresh(other.tokens.refreshToken)).statusCode).toBe(200)
  })

  test('end one by one, or all others at once', async () => {
    const person = await world.loggedIn()
    const [second, third] = [
      (await world.login(person.email, person.password)).json<Tokens>(),
      (await world.login(person.email, person.password)).json<Tokens>(),
    ]
    const url = `/me/sessions/${second.sessionId}`
    expect((await person.with('DELETE', url)).statusCode).toBe(204)
    expect((await person.with('DELETE', url)).statusCode).toBe(404)
    expect(await world.verdict(third.accessToken)).toBe('valid')
    expect((await person.with('DELETE', '/me/sessions')).json()).toEqual({ ended: 1 })
    for (const ended of [second, third]) {
      await eventually(async () => expect(await world.verdict(ended.accessToken)).toBe('revoked'))
      expect((await world.refresh(ended.refreshToken)).statusCode).toBe(401)
    }
    expect((await listed(person)).map(({ id }) => id)).toEqual([person.tokens.sessionId])
    expect((await world.refresh(person.tokens.refreshToken)).statusCode).toBe(200)
  })

  test('end by logging out, once', async () => {
    const person = await world.loggedIn()
    expect((await person.with('POST', '/auth/logout')).statusCode).toBe(204)
    await eventually(async () =>
      expect(await world.verdict(person.tokens.accessToken)).toBe('revoked'),
    )
    expect((await world.refresh(person.tokens.refreshToken)).statusCode).toBe(401)
    expect((await person.with('POST', '/auth/logout')).statusCode).toBe(204)
  })
})

describe('T3 a race of ending and going on', () => {
  test('leaves no token that is good: whatever a refresh gave out ends with its session', async () => {
    for (let round = 0; round < 15; round++) {
      const person = await world.loggedIn()
      const victim = (await world.login(person.email, person.password)).json<Tokens>()
      const [refreshed, ended] = await Promise.all([
        world.refresh(victim.refreshToken),
        person.with('DELETE', `/me/sessions/${victim.sessionId}`),
      ])
      expect(ended.statusCode).toBe(204)
      expect([200, 401]).toContain(refreshed.statusCode)
      if (refreshed.statusCode === 200) {
        const next = refreshed.json<Tokens>()
        await eventually(async () => expect(await world.verdict(next.accessToken)).toBe('revoked'))
        expect((await world.refresh(next.refreshToken)).statusCode).toBe(401)
      }
      await eventually(async () => expect(await world.verdict(victim.accessToken)).toBe('revoked'))
    }
  })

  test('of disabling an account and logging in leaves no session', async () => {
    const operator = await world.operator()
    for (let round = 0; round < 10; round++) {
      const person = await world.register()
      const [login] = await Promise.all([
        world.login(person.email, person.password),
        operator.with('PUT', `/operator/users/${person.profile.id}/status`, { status: 'disabled' }),
      ])
      const sql = 'select id from sessions where user_id = $1 and ended_at is null'
      expect(await world.postgres.query(sql, [person.profile.id])).toEqual([])
      if (login.statusCode === 200) {
        const { accessToken } = login.json<Tokens>()
        await eventually(async () => expect(await world.verdict(accessToken)).toBe('revoked'))
      }
    }
  })

  test('the session that asks is told what the database says of it, and no cache', async () => {
    const person = await world.loggedIn()
    const current = await person.with('GET', '/me/session')
    expect(current.json()).toMatchObject({ id: person.tokens.sessionId, current: true })
    const { tokenId } = await world.people.verify(person.tokens.accessToken)
    await world.postgres.query(
      `insert into revocations (id, reason, created_at, expires_at) values ($1, 'test', now(), now())`,
      [tokenId],
    )
    expect((await person.with('GET', '/me/session')).statusCode).toBe(401)
    const other = await world.loggedIn()
    await world.postgres.query(
      `update sessions set ended_at = now(), end_reason = 'logout' where id = $1`,
      [other.tokens.sessionId],
    )
    expect((await other.with('GET', '/me/session')).statusCode).toBe(401)
  })
})

describe('T4 the use of a session', () => {
  const seen = async (sessionId: string) => {
    const sql =
      'select last_seen_at, idle_expires_at, xmin::text as version from sessions where id = $1'
    const [row] = await world.postgres.query(sql, [sessionId])
    if (row === undefined) throw new Error(`no session ${sessionId}`)
    return {
      lastSeenMs: (row['last_seen_at'] as Date).getTime(),
      idleExpiresMs: (row['idle_expires_at'] as Date).getTime(),
      version: row['version'],
    }
  }

  test('is written down at most once a minute, and moves the end for want of use', async () => {
    const person = await world.loggedIn()
    const { sessionId } = person.tokens
    const first = await seen(sessionId)
    for (let n = 0; n < 20; n++) await person.with('GET', '/me')
    await world.app.inject('/livez')
    expect((await seen(sessionId)).version).toBe(first.version)
    world.clock.aheadMs = 61_000
    for (let n = 0; n < 20; n++) await person.with('GET', '/me')
    const later = await eventually(async () => {
      const now = await seen(sessionId)
      expect(now.lastSeenMs).toBeGreaterThan(first.lastSeenMs)
      return now
    })
    expect(later.idleExpiresMs).toBeGreaterThan(first.idleExpiresMs)
    for (let n = 0; n < 20; n++) await person.with('GET', '/me')
    expect((await seen(sessionId)).version).toBe(later.version)
  })

  test('does not revive what has ended', async () => {
    const person = await world.loggedIn()
    await person.with('POST', '/auth/logout')
    const ended = await seen(person.tokens.sessionId)
    world.clock.aheadMs = 120_000
    await person.with('GET', '/me')
    await person.with('GET', '/me/preferences')
    expect((await seen(person.tokens.sessionId)).version).toBe(ended.version)
    expect(await listed(person)).toEqual([])
  })

  test('never moves the end beyond 30 days', async () => {
    const { tokens } = await world.loggedIn()
    let token = tokens.refreshToken
    for (const day of [10, 20, 25]) {
      world.clock.aheadMs = day * dayMs
      token = (await world.refresh(token)).json<Tokens>().refreshToken
    }
    const { idleExpiresMs } = await seen(tokens.sessionId)
    expect(idleExpiresMs).toBe(Date.parse(tokens.freshLoginAt))
  })
})

describe('T5 unusual use', () => {
  const travelling = (address: string) =>
    address.startsWith('203.') ? 'NG' : address.startsWith('198.') ? 'GH' : null

  test('a new device, network or country at a login is written down, the first login is not', async () => {
    await using abroad = await worldWith({ countryOf: travelling })
    const person = await abroad.loggedIn({ from: '203.0.113.5' })
    expect(await abroad.eventsOf(person.profile.id)).not.toContain('login.new_network')
    await abroad.login(person.email, person.password, { from: '203.0.113.77' })
    expect((await abroad.eventsOf(person.profile.id)).join()).not.toMatch('login.new')
    await abroad.login(person.email, person.password, { from: '198.51.100.1', userAgent: iphone })
    expect(await abroad.eventsOf(person.profile.id)).toEqual(
      expect.arrayContaining(['login.new_country', 'login.new_network', 'login.new_device']),
    )
  })

  test('a refresh from another country demands a login, and ends what was stolen', async () => {
    await using abroad = await worldWith({ countryOf: travelling })
    const { tokens, profile } = await abroad.loggedIn({ from: '203.0.113.5' })
    const reply = await abroad.refresh(tokens.refreshToken, { from: '198.51.100.1' })
    expect([reply.statusCode, reply.json<{ code: string }>().code]).toEqual([
      401,
      'FRESH_LOGIN_REQUIRED',
    ])
    expect(await abroad.eventsOf(profile.id)).toContain('session.country_changed')
    await eventually(async () => expect(await abroad.verdict(tokens.accessToken)).toBe('revoked'))
    const home = await abroad.refresh(tokens.refreshToken, { from: '203.0.113.5' })
    expect(home.statusCode).toBe(401)
  })

  test('a refresh by another program demands a login; an update of the same one does not', async () => {
    const person = await world.loggedIn()
    const updated = firefox.replaceAll('140', '141')
    const next = await world.refresh(person.tokens.refreshToken, { userAgent: updated })
    expect(next.statusCode).toBe(200)
    const { refreshToken } = next.json<Tokens>()
    const reply = await world.refresh(refreshToken, { userAgent: 'curl/8.5.0' })
    expect(reply.json()).toMatchObject({ code: 'FRESH_LOGIN_REQUIRED' })
    expect(await world.eventsOf(person.profile.id)).toContain('session.device_changed')
  })

  test('another network is written down once, and no more', async () => {
    const person = await world.loggedIn({ from: '203.0.113.5' })
    let token = person.tokens.refreshToken
    for (const from of ['203.0.113.6', '192.0.2.1', '192.0.2.2', '192.0.2.3']) {
      const reply = await world.refresh(token, { from })
      expect(reply.statusCode).toBe(200)
      token = reply.json<Tokens>().refreshToken
    }
    const events = await world.eventsOf(person.profile.id)
    expect(events.filter((type) => type === 'session.network_changed')).toHaveLength(1)
  })

  test('a session that slept for days and is then used feverishly demands a login', async () => {
    const person = await world.loggedIn()
    let token = person.tokens.refreshToken
    world.clock.aheadMs = 5 * dayMs
    let statuses: number[] = []
    for (let n = 0; n < 20 && !statuses.includes(401); n++) {
      world.clock.aheadMs += 30_000
      const reply = await world.refresh(token)
      statuses = [...statuses, reply.statusCode]
      if (reply.statusCode === 200) token = reply.json<Tokens>().refreshToken
    }
    expect(statuses).toEqual([...Array<number>(12).fill(200), 401])
    expect(await world.eventsOf(person.profile.id)).toContain('session.idle_then_busy')
  })

  test('a session that slept and is then used as people do goes on', async () => {
    const person = await world.loggedIn()
    let token = person.tokens.refreshToken
    world.clock.aheadMs = 5 * dayMs
    for (let n = 0; n < 20; n++) {
      world.clock.aheadMs += 15 * minuteMs
      const reply = await world.refresh(token)
      expect(reply.statusCode).toBe(200)
      token = reply.json<Tokens>().refreshToken
    }
  })
})

async function worldWith(options: Parameters<typeof startUser>[0]) {
  const started = await startUser(options)
  return Object.assign(started, { [Symbol.asyncDispose]: started.stop })
}
