import { randomUUID } from 'node:crypto'
import { eventually } from '@wattle/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startPayment, type PaymentWorld } from './world.ts'

let world: PaymentWorld
beforeAll(async () => {
  world = await startPayment()
})
afterEach(() => {
  delete world.billing.hooks.before
  delete world.billing.hooks.after
})
afterAll(() => world.stop())

const ready = () => world.send('GET', '/readyz')

describe('C23 without Redis', () => {
  test.each(['frozen', 'killed'] as const)(
    'payments go on, lists are right, and the service stays ready (%s)',
    async (fault) => {
      const person = world.person()
      const before = await person.create()
      await person.get('/payments/recent')
      if (fault === 'frozen') world.redisServer.freeze()
      else await world.redisServer.kill()
      try {
        expect((await person.confirm(before.id)).body).toMatchObject({ state: 'succeeded' })
        const payment = await person.create()
        const { items } = (await person.get('/payments/recent')).body as { items: unknown[] }
        expect(items).toMatchObject([{ id: payment.id }, { id: before.id, state: 'succeeded' }])
        expect((await ready()).status).toBe(200)
      } finally {
        if (fault === 'frozen') world.redisServer.thaw()
        else await world.redisServer.restart()
      }
      await eventually(
        async () => {
          const reply = await person.get('/payments/recent')
          expect(reply.body['items']).toMatchObject([{}, { state: 'succeeded' }])
          expect(reply.headers['x-cache-status']).toBe('HIT')
        },
        { withinMs: 10_000 },
      )
    },
  )
})

describe('M1 without the database', () => {
  test('the service is unready, answers 503, and a repeated request goes on afterwards', async () => {
    const person = world.person()
    const payment = await person.create()
    const key = randomUUID()
    await world.postgres.refuse()
    try {
      expect(await person.confirm(payment.id, key)).toMatchObject({
        status: 503,
        body: { code: 'UNAVAILABLE' },
      })
      await eventually(async () => expect((await ready()).status).toBe(503))
    } finally {
      await world.postgres.allow()
    }
    await eventually(async () => {
      expect((await person.confirm(payment.id, key)).body).toMatchObject({ state: 'succeeded' })
    })
    expect((await ready()).status).toBe(200)
  })
})

describe('S2 without billing', () => {
  test('a creation answers 503 and holds nothing; repeated, it goes on', async () => {
    const person = world.person()
    const bill = world.billing.addBill(person.userId)
    const wanted = {
      billId: bill.id,
      amountMinor: 100,
      currency: 'NGN',
      instrument: 'test_success',
    }
    const key = randomUUID()
    world.billing.hooks.before = () => {
      throw new Error('billing is broken')
    }
    const reply = await person.post('/payments', wanted, key)
    expect(reply.status).toBeGreaterThanOrEqual(500)
    expect(reply.body['detail']).not.toContain('broken')
    delete world.billing.hooks.before
    expect((await person.post('/payments', wanted, key)).status).toBe(201)
    expect(bill.reservedMinor).toBe(100)
  })

  test('what is held already is confirmed, canceled and refunded', async () => {
    const person = world.person()
    const [one, other] = [await person.create(), await person.create()]
    world.billing.hooks.before = () => {
      throw new Error('billing is broken')
    }
    expect((await person.confirm(one.id)).body).toMatchObject({ state: 'succeeded' })
    expect((await person.refund(one.id, 10)).status).toBe(201)
    expect((await person.cancel(other.id)).body).toMatchObject({ state: 'canceled' })
  })
})

describe('L6 with billing frozen', () => {
  test('creations are refused at once and stay open; each goes on under its key, and holds once', async () => {
    const person = world.person()
    const bill = world.billing.addBill(person.userId, 10_000)
    const other = await person.create()
    const release = Promise.withResolvers<void>()
    // Billing holds, and its answer is lost: for the payment it is unknown whether the amount is held.
    world.billing.hooks.after = () => release.promise
    const wanted = {
      billId: bill.id,
      amountMinor: 100,
      currency: 'NGN',
      instrument: 'test_success',
    }
    const keys = Array.from({ length: 20 }, () => randomUUID())
    const create = (key: string) => person.post('/payments', wanted, key)
    for (const { status } of await Promise.all(keys.map(create))) expect(status).toBe(504)
    expect((await ready()).body).toMatchObject({ checks: { billing: 'degraded' } })

    const key = randomUUID()
    let probes = 0
    let held = 2_000
    for (const one of [key, ...keys]) {
      const startedMs = performance.now()
      const reply = await create(one)
      // Now and then one is let through, to see whether billing is back.
      if (reply.status === 504 && ++probes <= 3) {
        if (one === key) held += 100
        continue
      }
      expect(reply).toMatchObject({ status: 503, body: { code: 'UNAVAILABLE' } })
      expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
      expect(performance.now() - startedMs).toBeLessThan(2_000)
    }
    expect(bill.reservedMinor).toBe(held)
    expect((await person.confirm(other.id)).body).toMatchObject({ state: 'succeeded' })

    delete world.billing.hooks.after
    release.resolve()
    for (const one of [...keys, key]) {
      await eventually(async () => expect((await create(one)).status).toBe(201))
    }
    expect(bill.reservedMinor).toBe(2_100)
    expect((await ready()).body).toMatchObject({ checks: { billing: 'ok' } })
  })
})

describe('S2 with a database that hangs in the middle of a payment', () => {
  test('a row that somebody else has locked makes nobody wait for ever, and nothing is lost', async () => {
    const person = world.person()
    const payment = await person.create()
    const key = randomUUID()
    const release = Promise.withResolvers<void>()
    const locked = Promise.withResolvers<void>()
    const holding = world.database.transaction(async (trx) => {
      await trx
        .selectFrom('payments')
        .select('id')
        .where('id', '=', payment.id)
        .forUpdate()
        .execute()
      locked.resolve()
      await release.promise
    })
    await locked.promise
    await world.janitorNow('nothing')
    const startedMs = performance.now()
    const reply = await person.confirm(payment.id, key)
    expect(reply.status).toBe(503)
    expect(performance.now() - startedMs).toBeLessThan(5_000)
    release.resolve()
    await holding
    expect((await person.confirm(payment.id, key)).body).toMatchObject({ state: 'succeeded' })
  })
})
