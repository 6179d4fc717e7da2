import type { Tokens } from '@wattle/contracts'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startUser, type UserWorld } from './world.ts'

let world: UserWorld
beforeAll(async () => {
  world = await startUser()
})
beforeEach(() => {
  world.clock.aheadMs = 0
})
afterAll(() => world.stop())

const attacker = '203.0.113.66'
const wrong = 'not the password'

async function guess(email: string, times: number, from = attacker) {
  const statuses: number[] = []
  for (let n = 0; n < times; n++) {
    statuses.push((await world.login(email, `${wrong} ${n}`, { from })).statusCode)
  }
  return statuses
}

describe('T7 guessing', () => {
  test('ends after ten wrong passwords from a network, also for the right one, and goes on 15 minutes later', async () => {
    const { email, password, profile } = await world.register()
    expect(await guess(email, 12)).toEqual([...Array<number>(10).fill(401), 429, 429])
    const locked = await world.login(email, password, { from: attacker })
    expect(locked.statusCode).toBe(429)
    expect(Number(locked.headers['retry-after'])).toBeGreaterThan(800)
    expect(locked.json()).toMatchObject({ code: 'TOO_MANY_REQUESTS' })
    await eventually(async () => {
      const events = await world.eventsOf(profile.id)
      expect(events.filter((type) => type === 'login.failed')).toHaveLength(9)
      expect(events.filter((type) => type === 'login.locked')).toHaveLength(1)
    })
    world.clock.aheadMs = 15 * 60_000 + 1_000
    expect((await world.login(email, password, { from: attacker })).statusCode).toBe(200)
  })

  test('by a thousand at once gets no more looks at the password than ten', async () => {
    const { email } = await world.register()
    let looks = 0
    const { passwords } = world.deps
    const verify = passwords.verify.bind(passwords)
    passwords.verify = (...given) => {
      looks++
      return verify(...given)
    }
    try {
      const replies = await Promise.all(
        Array.from({ length: 1_000 }, (_, n) =>
          world.login(email, `${wrong} ${n}`, { from: `203.0.113.${n % 250}` }),
        ),
      )
      const statuses = replies.map(({ statusCode }) => statusCode)
      expect(statuses.filter((status) => status === 401).length).toBeLessThanOrEqual(10)
      expect(statuses).not.toContain(200)
    } finally {
      passwords.verify = verify
    }
    expect(looks).toBeLessThanOrEqual(10)
  }, 30_000)

  test('of one account locks no other, and no other network: the owner gets in', async () => {
    const [victim, neighbour] = [await world.register(), await world.register()]
    await guess(victim.email, 15)
    expect((await world.login(victim.email, victim.password)).statusCode).toBe(200)
    const from = attacker
    expect((await world.login(neighbour.email, neighbour.password, { from })).statusCode).toBe(200)
  })

  test('from the network of the owner does not lock out a device that the owner has used before', async () => {
    const person = await world.loggedIn({ from: attacker })
    expect((await guess(person.email, 15)).at(-1)).toBe(429)
    const { deviceToken } = person.tokens
    const known = await world.login(person.email, person.password, { from: attacker, deviceToken })
    expect(known.statusCode).toBe(200)
    expect(known.json<{ deviceToken: string }>().deviceToken).toBe(deviceToken)
    expect((await world.login(person.email, person.password, { from: attacker })).statusCode).toBe(
      429,
    )
  })

  test('with a known device is bounded as well', async () => {
    const person = await world.loggedIn()
    const { deviceToken } = person.tokens
    const statuses: number[] = []
    for (let n = 0; n < 12; n++) {
      statuses.push((await world.login(person.email, wrong, { deviceToken })).statusCode)
    }
    expect(statuses).toEqual([...Array<number>(10).fill(401), 429, 429])
  })

  test('with the device token of another account, a forged or a changed one counts for the network', async () => {
    const [victim, thief] = [await world.loggedIn(), await world.loggedIn()]
    await guess(victim.email, 10)
    const changed = `${victim.tokens.deviceToken.slice(0, -1)}${victim.tokens.deviceToken.endsWith('A') ? 'B' : 'A'}`
    for (const deviceToken of [thief.tokens.deviceToken, changed, 'A'.repeat(64)]) {
      const options = { from: attacker, deviceToken }
      expect((await world.login(victim.email, wrong, options)).statusCode).toBe(429)
    }
    const malformed = await world.login(victim.email, wrong, { deviceToken: 'short' })
    expect(malformed.statusCode).toBe(400)
  })

  test('is forgotten with the right password, so that a slip now and then adds up to nothing', async () => {
    const { email, password } = await world.register()
    for (let round = 0; round < 4; round++) {
      expect(await guess(email, 8, '192.0.2.1')).toEqual(Array<number>(8).fill(401))
      expect((await world.login(email, password, { from: '192.0.2.1' })).statusCode).toBe(200)
    }
  })

  test('survives a restart of everything but the database', async () => {
    const { email, password } = await world.register()
    await guess(email, 10)
    await world.redisServer.client().flushall()
    await world.stateServer.client().flushall()
    expect((await world.login(email, password, { from: attacker })).statusCode).toBe(429)
  })

  test('neighbours of a network are one: another address of the same /24 or /48 gives no new attempts', async () => {
    const { email } = await world.register()
    expect((await guess(email, 10, '203.0.113.1')).at(-1)).toBe(401)
    expect(await guess(email, 1, '203.0.113.200')).toEqual([429])
    expect(await guess(email, 1, '::ffff:203.0.113.7')).toEqual([429])
    expect(await guess(email, 10, '2001:db8:7:1::1')).toEqual(Array<number>(10).fill(401))
    expect(await guess(email, 1, '2001:db8:7:ffff::9')).toEqual([429])
  })
})

describe('T7 nobody learns who has an account', () => {
  const told = (reply: { statusCode: number; json(): unknown; headers: object }) => {
    const { requestId: _, ...body } = reply.json() as Record<string, unknown>
    return { status: reply.statusCode, body }
  }

  test('from a login: an unknown address is refused, and locked, in the same words after as many attempts', async () => {
    const { email } = await world.register()
    const unknown = 'nobody.at.all@example.com'
    for (let n = 0; n < 13; n++) {
      const [known, not] = [await world.login(email, wrong), await world.login(unknown, wrong)]
      expect([n, told(not)]).toEqual([n, told(known)])
    }
  })

  test('from a login: an unknown address costs one hash, and the table of attempts shows no address', async () => {
    const { email } = await world.register()
    const hashes: (string | undefined)[] = []
    const { passwords } = world.deps
    const verify = passwords.verify.bind(passwords)
    passwords.verify = (password, phc, signal) => {
      hashes.push(phc)
      return verify(password, phc, signal)
    }
    try {
      for (const address of [email, 'nobody.either@example.com']) await world.login(address, wrong)
    } finally {
      passwords.verify = verify
    }
    expect(hashes).toEqual([expect.stringContaining('$argon2id$'), undefined])
    const rows = await world.postgres.query(
      `select encode(account, 'escape') as account, source from login_attempts`,
    )
    expect(rows.length).toBeGreaterThan(1)
    expect(JSON.stringify(rows)).not.toMatch(/example|nobody|person/)
  })

  test('from a forgotten password: the answer is the same, and has gone before anybody looked', async () => {
    const { email } = await world.register()
    const ask = (address: string) =>
      world.app.inject({
        method: 'POST',
        url: '/auth/password/forgot',
        payload: { email: address },
      })
    await world.postgres.refuse()
    try {
      for (const address of [email, 'nobody.here@example.com']) {
        const reply = await ask(address)
        expect([reply.statusCode, reply.body]).toEqual([204, ''])
      }
    } finally {
      await world.postgres.allow()
    }
  })
})

describe('T7 headers', () => {
  test('an X-Forwarded-For that the gateway did not write counts for nothing', async () => {
    const { email } = await world.register()
    const spoofed = ['1.2.3.4, 5.6.7.8', 'unknown', '', '1.2.3', '1.2.3.4:80', 'localhost']
    for (let n = 0; n < 10; n++) {
      const from = spoofed[n % spoofed.length] ?? ''
      expect((await world.login(email, wrong, { from })).statusCode).toBe(401)
    }
    expect((await world.login(email, wrong, { from: 'something new' })).statusCode).toBe(429)
  })

  test('internal headers and a made-up principal open nothing', async () => {
    const { profile } = await world.register()
    const reply = await world.app.inject({
      method: 'GET',
      url: '/me/sessions',
      headers: {
        'x-wattle-user': profile.id,
        'x-internal-token': 'x',
        'x-user-id': profile.id,
        'x-session-id': 'ses_1',
        authorization: 'Bearer eyJhbGciOiJub25lIn0.e30.',
      },
    })
    expect(reply.statusCode).toBe(401)
  })
})

describe('T7 what is too large or odd', () => {
  test.each([
    ['password', { password: 'x'.repeat(129) }],
    ['email', { email: `${'x'.repeat(300)}@example.com` }],
    ['deviceToken', { deviceToken: 'x'.repeat(65) }],
    ['sessionName', { sessionName: 'x'.repeat(61) }],
    ['sessionName', { sessionName: '\u0000' }],
    ['roles', { roles: ['operator'] }],
  ])('in %s is refused before anything is counted or hashed', async (field, change) => {
    const payload = { email: 'a@example.com', password: 'password', ...change }
    const reply = await world.app.inject({ method: 'POST', url: '/auth/login', payload })
    expect(reply.statusCode).toBe(400)
    expect(reply.json()).toMatchObject({ errors: [{ in: 'body', field }] })
  })

  test('a body of a megabyte is 413', async () => {
    const reply = await world.app.inject({
      method: 'POST',
      url: '/auth/refresh',
      payload: { refreshToken: 'x'.repeat(1_000_000) },
    })
    expect(reply.statusCode).toBe(413)
  })

  test('a user agent of 10,000 characters is a device of 100 at most', async () => {
    const person = await world.register()
    const userAgent = 'Evil<script>'.repeat(800)
    const reply = await world.login(person.email, person.password, { userAgent })
    expect(reply.statusCode).toBe(200)
    const { accessToken } = reply.json<Tokens>()
    const items = (await (await world.callWith(accessToken))('GET', '/me/sessions')).json<{
      items: { device: string }[]
    }>().items
    expect(items[0]?.device).toBe('Evil')
  })
})
