import { randomUUID } from 'node:crypto'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { purge } from '../src/janitor/janitor.ts'
import { startPayment, type PaymentWorld, type Person } from './world.ts'

let world: PaymentWorld
let person: Person
beforeAll(async () => {
  world = await startPayment()
})
afterAll(() => world.stop())
beforeEach(() => {
  person = world.person()
  delete world.billing.hooks.before
  delete world.billing.hooks.after
})

const wanted = (billId: string) => ({
  billId,
  amountMinor: 100,
  currency: 'NGN',
  instrument: 'test_success',
})
const paymentsOf = (billId: string) =>
  world.postgres.query('select id, state from payments where bill_id = $1', [billId])

describe('S2 the same Idempotency-Key', () => {
  test('with the same request gets the same answer, and there is one payment', async () => {
    const bill = world.billing.addBill(person.userId)
    const key = randomUUID()
    const first = await person.post('/payments', wanted(bill.id), key)
    const reordered = Object.fromEntries(Object.entries(wanted(bill.id)).toReversed())
    const second = await person.post('/payments', reordered, key)
    expect(first.status).toBe(201)
    expect(second).toMatchObject({ status: 201, body: first.body })
    expect(first.headers['idempotency-replayed']).toBeUndefined()
    expect(second.headers['idempotency-replayed']).toBe('true')
    expect(await paymentsOf(bill.id)).toHaveLength(1)
    expect(bill.reservedMinor).toBe(100)
  })

  test('keeps its answer after the payment has moved on', async () => {
    const key = randomUUID()
    const bill = world.billing.addBill(person.userId)
    const created = await person.post('/payments', wanted(bill.id), key)
    const paymentId = String(created.body['id'])
    const confirmKey = randomUUID()
    const confirmed = await person.confirm(paymentId, confirmKey)
    await person.refund(paymentId, 40)
    expect((await person.post('/payments', wanted(bill.id), key)).body).toEqual(created.body)
    expect((await person.confirm(paymentId, confirmKey)).body).toEqual(confirmed.body)
  })

  test.each([
    ['another amount', (body: object) => ({ ...body, amountMinor: 101 })],
    ['another instrument', (body: object) => ({ ...body, instrument: 'test_declined' })],
    ['one field more', (body: object) => ({ ...body, couponCode: 'TWENTY' })],
  ])('with %s is refused, and nothing happens', async (_, change) => {
    const bill = world.billing.addBill(person.userId)
    const key = randomUUID()
    await person.post('/payments', wanted(bill.id), key)
    const reply = await person.post('/payments', change(wanted(bill.id)), key)
    expect(reply).toMatchObject({ status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED' } })
    expect(await paymentsOf(bill.id)).toHaveLength(1)
  })

  test('on another route or payment is refused', async () => {
    const key = randomUUID()
    const one = await person.create()
    const other = await person.create()
    expect((await person.cancel(one.id, key)).status).toBe(200)
    for (const reply of [await person.confirm(one.id, key), await person.cancel(other.id, key)]) {
      expect(reply).toMatchObject({ status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED' } })
    }
    expect(await person.payment(other.id)).toMatchObject({ state: 'requires_confirmation' })
  })

  test('of two people are two keys', async () => {
    const other = world.person()
    const key = randomUUID()
    const mine = await person.create({}, key)
    const theirs = await other.create({}, key)
    expect(theirs.id).not.toBe(mine.id)
  })

  test('of a refused request repeats the refusal, also when it would be granted now', async () => {
    const bill = world.billing.addBill(person.userId, 50)
    const key = randomUUID()
    const first = await person.post('/payments', wanted(bill.id), key)
    expect(first).toMatchObject({ status: 409, body: { code: 'AMOUNT_EXCEEDS_DUE' } })
    bill.paidMinor = -1_000
    const again = await person.post('/payments', wanted(bill.id), key)
    const { requestId: _, ...problem } = first.body
    expect(again).toMatchObject({ status: 409, body: problem })
    expect((await person.post('/payments', wanted(bill.id))).status).toBe(201)
  })

  test.each([
    ['missing', undefined, 'IDEMPOTENCY_KEY_REQUIRED'],
    ['empty', '', 'IDEMPOTENCY_KEY_REQUIRED'],
    ['with a space', 'a b', 'VALIDATION_FAILED'],
    ['too long', 'x'.repeat(256), 'VALIDATION_FAILED'],
  ])('%s is refused on every POST', async (_, key, code) => {
    const payment = await person.create()
    const headers = {
      authorization: person.authorization(),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    }
    const bill = world.billing.addBill(person.userId)
    for (const [path, body] of [
      ['/payments', wanted(bill.id)],
      [`/payments/${payment.id}/confirm`, undefined],
      [`/payments/${payment.id}/cancel`, undefined],
      [`/payments/${payment.id}/refunds`, { amountMinor: 1 }],
    ] as const) {
      const reply = await world.send('POST', path, { headers, body })
      expect(reply).toMatchObject({ status: 400, body: { code } })
    }
    expect(await person.payment(payment.id)).toMatchObject({ state: 'requires_confirmation' })
  })

  test('is kept for a day at least, and not for ever', async () => {
    const key = randomUUID()
    const payment = await person.create({}, key)
    const age = (hours: number) =>
      world.postgres.query(
        `update idempotency_keys set created_at = now() - interval '${hours} hours' where key = $1`,
        [key],
      )
    const left = () => world.postgres.query('select from idempotency_keys where key = $1', [key])
    await age(25)
    await purge(world.database)
    expect(await left()).toHaveLength(1)
    await age(49)
    await purge(world.database)
    expect(await left()).toHaveLength(0)
    expect(await person.payment(payment.id)).toMatchObject({ id: payment.id })
  })
})

describe('S2 the same request many times at once', () => {
  test('creates one payment and gives all the same answer', async () => {
    const bill = world.billing.addBill(person.userId)
    const key = randomUUID()
    const replies = await Promise.all(
      Array.from({ length: 12 }, () => person.post('/payments', wanted(bill.id), key)),
    )
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([201]))
    expect(new Set(replies.map(({ body }) => JSON.stringify(body))).size).toBe(1)
    expect(await paymentsOf(bill.id)).toHaveLength(1)
    expect(bill.reservedMinor).toBe(100)
  })

  test('confirms once, and charges once', async () => {
    const payment = await person.create()
    const key = randomUUID()
    const replies = await Promise.all(
      Array.from({ length: 12 }, () => person.confirm(payment.id, key)),
    )
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]))
    expect(new Set(replies.map(({ body }) => body['state']))).toEqual(new Set(['succeeded']))
    expect(await world.eventsOf(payment.id)).toEqual(['payment.succeeded'])
    const charges = await world.postgres.query('select calls from sandbox_charges where key = $1', [
      payment.id,
    ])
    expect(charges).toEqual([{ calls: 1 }])
  })

  test('under twelve keys confirms once; the others are told that it is too late', async () => {
    const payment = await person.create()
    const replies = await Promise.all(Array.from({ length: 12 }, () => person.confirm(payment.id)))
    const statuses = replies.map(({ status }) => status).toSorted()
    expect(statuses).toEqual([200, ...Array.from({ length: 11 }, () => 409)])
    expect(await world.eventsOf(payment.id)).toEqual(['payment.succeeded'])
  })

  test('while the first hangs waits for it, and is told to come back when it takes too long', async () => {
    const bill = world.billing.addBill(person.userId)
    const held = Promise.withResolvers<void>()
    world.billing.hooks.before = () => held.promise
    const key = randomUUID()
    const first = person.post('/payments', wanted(bill.id), key)
    await eventually(async () => expect(await paymentsOf(bill.id)).toHaveLength(1))
    const headers = { authorization: person.authorization(), 'idempotency-key': key }
    const impatient = await world.send('POST', '/payments', {
      headers: { ...headers, 'x-deadline-ms': '600' },
      body: wanted(bill.id),
    })
    expect(impatient).toMatchObject({ status: 409, body: { code: 'IDEMPOTENCY_IN_PROGRESS' } })
    expect(impatient.headers['retry-after']).toBe('1')
    const patient = person.post('/payments', wanted(bill.id), key)
    held.resolve()
    expect((await first).status).toBe(201)
    expect((await patient).body).toEqual((await first).body)
    expect(await paymentsOf(bill.id)).toHaveLength(1)
  })
})

describe('S2 a request that failed on our side', () => {
  test('is not remembered as an answer: the retry goes on with the same payment', async () => {
    const bill = world.billing.addBill(person.userId)
    const key = randomUUID()
    world.billing.hooks.after = () => {
      throw new Error('billing breaks after it held the amount')
    }
    const failed = await person.post('/payments', wanted(bill.id), key)
    expect(failed.status).toBeGreaterThanOrEqual(500)
    expect(bill.reservedMinor).toBe(100)
    delete world.billing.hooks.after
    const retried = await person.post('/payments', wanted(bill.id), key)
    expect(retried.status).toBe(201)
    expect(bill.reservedMinor).toBe(100)
    expect(await paymentsOf(bill.id)).toHaveLength(1)
  })

  test('and whose payment was given up meanwhile, makes a new one under the same key', async () => {
    const bill = world.billing.addBill(person.userId)
    const key = randomUUID()
    world.billing.hooks.after = () => {
      throw new Error('billing breaks after it held the amount')
    }
    await person.post('/payments', wanted(bill.id), key)
    delete world.billing.hooks.after
    const [abandoned] = await paymentsOf(bill.id)
    await world.janitorNow(abandoned?.['id'])
    await world.deliverEvents()
    expect(bill.reservedMinor).toBe(0)
    const retried = await person.post('/payments', wanted(bill.id), key)
    expect(retried.status).toBe(201)
    expect(retried.body['id']).not.toBe(abandoned?.['id'])
    expect(bill.reservedMinor).toBe(100)
    expect((await person.get('/payments')).body['items']).toHaveLength(1)
  })
})
