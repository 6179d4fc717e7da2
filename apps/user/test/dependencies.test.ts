import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUser, type UserWorld } from './world.ts'

let world: UserWorld
beforeAll(async () => {
  world = await startUser()
})
afterAll(() => world.stop())

const ready = () => world.app.inject('/readyz')

describe('C23 without Redis', () => {
  test('everything is answered from the database, changes are seen, and the service stays ready', async () => {
    const person = await world.register()
    await person.call('GET', '/me')
    await world.redisServer.kill()
    const changed = await person.call('PATCH', '/me', { name: 'Changed meanwhile' })
    expect(changed.statusCode).toBe(200)
    const { email, password, call } = await world.register()
    expect((await world.login(email, password)).statusCode).toBe(200)
    expect((await call('GET', '/me')).statusCode).toBe(200)
    expect((await person.call('GET', '/me')).json()).toMatchObject({ name: 'Changed meanwhile' })
    const bypass = await person.call('GET', '/me')
    expect(bypass.headers['x-cache-status']).toBe('BYPASS')
    expect((await ready()).statusCode).toBe(200)

    await world.redisServer.restart()
    await eventually(
      async () => {
        const reply = await person.call('GET', '/me')
        expect(reply.json()).toMatchObject({ name: 'Changed meanwhile' })
        expect(reply.headers['x-cache-status']).toBe('HIT')
      },
      { withinMs: 10_000 },
    )
  })

  test('one that hangs delays nobody past the deadline, and nothing stale comes out after it', async () => {
    const person = await world.register()
    await person.call('GET', '/me')
    world.redisServer.freeze()
    try {
      const startedMs = performance.now()
      const changed = await person.call('PATCH', '/me', { name: 'While it hung' })
      expect(changed.statusCode).toBe(200)
      for (let n = 0; n < 20; n++) {
        const reply = await person.call('GET', '/me')
        expect(reply.statusCode).toBe(200)
        expect(reply.json()).toMatchObject({ name: 'While it hung' })
      }
      expect(performance.now() - startedMs).toBeLessThan(5_000)
    } finally {
      world.redisServer.thaw()
    }
    await eventually(
      async () => {
        const reply = await person.call('GET', '/me')
        expect(reply.json()).toMatchObject({ name: 'While it hung' })
        expect(reply.headers['x-cache-status']).toBe('HIT')
      },
      { withinMs: 10_000 },
    )
  })
})

describe('M1 without the database', () => {
  test('the service is unready and answers 503, then recovers by itself', async () => {
    const person = await world.register()
    await world.postgres.refuse()
    try {
      const reply = await world.login(person.email, person.password)
      expect(reply.statusCode).toBe(503)
      expect(reply.json()).toMatchObject({ code: 'UNAVAILABLE' })
      expect((await ready()).statusCode).toBe(503)
    } finally {
      await world.postgres.allow()
    }
    await eventually(async () => {
      expect((await ready()).statusCode).toBe(200)
      expect((await world.login(person.email, person.password)).statusCode).toBe(200)
    })
  })
})

describe('T7 a rush of logins', () => {
  test('is turned away past the bound with 429 and Retry-After, and nobody waits for ever', async () => {
    const busy = await startUser({
      maxWaiting: 2,
      lockout: { maxAttempts: 100, windowMs: 60_000 },
      cost: { memoryKib: 19_456, passes: 2, lanes: 1 },
    })
    try {
      const { email, password } = await busy.register()
      const replies = await Promise.all(
        Array.from({ length: 30 }, () => busy.login(email, password)),
      )
      const refused = replies.filter(({ statusCode }) => statusCode === 429)
      expect(refused.length).toBeGreaterThan(0)
      expect(refused[0]?.headers['retry-after']).toBe('2')
      expect(refused[0]?.json()).toMatchObject({ code: 'TOO_MANY_REQUESTS' })
      const served = replies.filter(({ statusCode }) => statusCode === 200)
      expect(served.length + refused.length).toBe(30)
      expect(served.length).toBeGreaterThan(0)
    } finally {
      await busy.stop()
    }
  })

  test('whoever waits past the deadline is answered 504', async () => {
    const busy = await startUser({
      cost: { memoryKib: 65_536, passes: 8, lanes: 1 },
      lockout: { maxAttempts: 100, windowMs: 60_000 },
    })
    try {
      const replies = await Promise.all(
        Array.from({ length: 12 }, () =>
          busy.app.inject({
            method: 'POST',
            url: '/auth/login',
            headers: { 'x-deadline-ms': '200' },
            payload: { email: 'nobody@example.com', password: 'password' },
          }),
        ),
      )
      const statuses = new Set(replies.map(({ statusCode }) => statusCode))
      expect(statuses).toContain(504)
      expect([...statuses].every((status) => status === 504 || status === 401)).toBe(true)
    } finally {
      await busy.stop()
    }
  })
})
