import type { BillSummary, Provider } from '@wattle/contracts'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { account, bill, untilHit } from './fixtures.ts'
import { startBilling, type BillingWorld, type Person } from './world.ts'

let world: BillingWorld
let person: Person
let providerId: string | undefined
beforeAll(async () => {
  world = await startBilling()
  const reply = await world.app.inject('/providers?utility=water')
  providerId = reply.json<{ items: Provider[] }>().items[0]?.id
})
afterAll(() => world.stop())
beforeEach(async () => {
  person = world.person()
  await account(world.database, person, [bill('2026-09-01'), bill('2026-08-01')])
})

const ready = async () => (await world.app.inject('/readyz')).statusCode
const bills = async (as = person) => {
  const reply = await as.get('/bills')
  expect(reply.statusCode).toBe(200)
  return {
    items: reply.json<{ items: BillSummary[] }>().items,
    status: reply.headers['x-cache-status'],
  }
}
let numbers = 55_000_000
function linkOne(as: Person) {
  numbers += 1
  return as.link({ providerId, customerNumber: String(numbers) })
}

/** Fifty people at once, each linking an account and reading their bills: all answers must be right. */
async function crowd(): Promise<void> {
  const people = Array.from({ length: 50 }, () => world.person())
  await Promise.all(
    people.map(async (one) => {
      expect((await bills(one)).items).toEqual([])
      expect((await linkOne(one)).statusCode).toBe(201)
      expect((await bills(one)).items).toHaveLength(6)
    }),
  )
}

describe('C23 without Redis', () => {
  test('fifty people at once get right answers, the service stays ready, and it caches again afterwards', async () => {
    await untilHit(() => person.get('/bills'))
    await world.redisServer.kill()
    try {
      expect((await linkOne(person)).statusCode).toBe(201)
      expect((await bills()).items).toHaveLength(8)
      expect((await bills()).status).toBe('BYPASS')
      await crowd()
      expect(await ready()).toBe(200)
    } finally {
      await world.redisServer.restart()
    }
    await eventually(
      async () => {
        const { items, status } = await bills()
        expect(items).toHaveLength(8)
        expect(status).toBe('HIT')
      },
      { withinMs: 10_000 },
    )
  })

  test('one that hangs delays nobody past the deadline, and no old list comes out after it', async () => {
    await untilHit(() => person.get('/bills'))
    world.redisServer.freeze()
    try {
      expect((await linkOne(person)).statusCode).toBe(201)
      expect((await bills()).items).toHaveLength(8)
      await crowd()
      expect(await ready()).toBe(200)
    } finally {
      world.redisServer.thaw()
    }
    await eventually(
      async () => {
        const { items, status } = await bills()
        expect(items).toHaveLength(8)
        expect(status).toBe('HIT')
      },
      { withinMs: 10_000 },
    )
  })
})

describe('M1 without the database', () => {
  test('what is cached is still served, the rest is a quick 503 problem, and all is well after its return', async () => {
    const hit = await untilHit(() => person.get('/bills'))
    const cached = hit.json<{ items: BillSummary[] }>().items
    const other = world.person()
    await world.postgres.refuse()
    try {
      expect(await bills()).toEqual({ items: cached, status: 'HIT' })
      const startedAt = performance.now()
      const replies = [
        await other.get('/bills'),
        await linkOne(other),
        await other.get('/bills/accounts'),
      ]
      expect(performance.now() - startedAt).toBeLessThan(2_000)
      for (const reply of replies) {
        expect(reply.statusCode).toBe(503)
        expect(reply.headers['content-type']).toMatch('application/problem+json')
        expect(reply.headers['retry-after']).toBe('1')
        expect(reply.json()).toMatchObject({ code: 'UNAVAILABLE' })
        expect(reply.body).not.toMatch(/postgres|connect|sql/i)
      }
      expect(await ready()).toBe(503)
    } finally {
      await world.postgres.allow()
    }
    await eventually(async () => {
      expect(await ready()).toBe(200)
      expect((await bills(other)).items).toEqual([])
    })
  })

  test('connections that are lost at once cost no request more than a retry', async () => {
    await world.postgres.disconnectAll()
    await eventually(async () => expect((await bills(world.person())).items).toEqual([]))
  })
})
