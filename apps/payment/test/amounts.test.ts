import { newId } from '@wattle/contracts'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startPayment, type PaymentWorld, type Person } from './world.ts'

let world: PaymentWorld
let person: Person
beforeAll(async () => {
  world = await startPayment()
})
afterAll(() => world.stop())
beforeEach(() => {
  person = world.person()
})

/** Everything that a request could have left behind. */
const traces = () =>
  world.postgres.query(`select
    (select count(*)::int from payments where reservation = 'reserved') as payments,
    (select count(*)::int from refunds) as refunds,
    (select count(*)::int from ledger_transactions) as ledger,
    (select count(*)::int from sandbox_charges) as charges,
    (select coalesce(sum(refunded_minor + refunding_minor), 0)::text from payments) as refunded`)
const problem = {
  type: expect.any(String) as string,
  title: expect.any(String) as string,
  requestId: expect.any(String) as string,
}
const overflow = [Number.MAX_SAFE_INTEGER + 1, 1e300, Number.MAX_SAFE_INTEGER * 2]

describe('S2 a payment of an amount that is', () => {
  test.each<[string, unknown]>([
    ['negative', -1],
    ['zero', 0],
    ['fractional', 0.5],
    ['a fraction more than an integer', 100.000001],
    ['a text', '100'],
    ['null', null],
    ['absent', undefined],
    ['a list', [100]],
    ...overflow.map((amount) => [`too large (${amount})`, amount] as [string, unknown]),
  ])(
    '%s is refused with a problem document that names the field, and no effect',
    async (_, amountMinor) => {
      const bill = world.billing.addBill(person.userId)
      const before = await traces()
      const reply = await person.post('/payments', {
        billId: bill.id,
        amountMinor,
        currency: 'NGN',
        instrument: 'test_success',
      })
      expect(reply.status).toBe(400)
      expect(reply.headers['content-type']).toContain('application/problem+json')
      expect(reply.body).toMatchObject({ ...problem, code: 'VALIDATION_FAILED', status: 400 })
      expect(JSON.stringify(reply.body['errors'])).toContain('amountMinor')
      expect(await traces()).toEqual(before)
      expect(bill.reservedMinor).toBe(0)
    },
  )

  test('more than what is due is refused, and says how much is due', async () => {
    const bill = world.billing.addBill(person.userId, 99)
    const before = await traces()
    const request = { billId: bill.id, currency: 'NGN', instrument: 'test_success' }
    for (const amountMinor of [100, Number.MAX_SAFE_INTEGER]) {
      const reply = await person.post('/payments', { ...request, amountMinor })
      expect(reply).toMatchObject({ status: 409, body: { ...problem, code: 'AMOUNT_EXCEEDS_DUE' } })
      expect(reply.body['detail']).toContain('99')
    }
    expect(await traces()).toEqual(before)
    expect((await person.post('/payments', { ...request, amountMinor: 99 })).status).toBe(201)
  })

  test('in another currency, or one that is unknown, is refused', async () => {
    const bill = world.billing.addBill(person.userId, 100, 'NGN')
    const before = await traces()
    const request = { billId: bill.id, amountMinor: 100, instrument: 'test_success' }
    expect(await person.post('/payments', { ...request, currency: 'USD' })).toMatchObject({
      status: 409,
      body: { ...problem, code: 'CURRENCY_MISMATCH' },
    })
    expect(await person.post('/payments', { ...request, currency: 'EUR' })).toMatchObject({
      status: 400,
      body: { ...problem, code: 'VALIDATION_FAILED' },
    })
    expect(await traces()).toEqual(before)
  })

  test('partial adds up with others, never over what is due', async () => {
    const bill = world.billing.addBill(person.userId, 100)
    const replies = await Promise.all(
      Array.from({ length: 10 }, () =>
        person.post('/payments', {
          billId: bill.id,
          amountMinor: 30,
          currency: 'NGN',
          instrument: 'test_success',
        }),
      ),
    )
    const statuses = replies.map(({ status }) => status).toSorted()
    expect(statuses).toEqual([201, 201, 201, 409, 409, 409, 409, 409, 409, 409])
    expect(bill.reservedMinor).toBe(90)
  })
})

describe('S2 a payment is refused, with a problem document and no effect,', () => {
  test.each([
    ['with an unknown instrument', { instrument: 'gold_bar' }, 400, 'INSTRUMENT_UNKNOWN'],
    ['with one named after a built-in', { instrument: 'constructor' }, 400, 'INSTRUMENT_UNKNOWN'],
    [
      'with a malformed instrument',
      { instrument: `'; drop table payments` },
      400,
      'VALIDATION_FAILED',
    ],
    ['with a coupon that does not exist', { couponCode: 'FREE' }, 409, 'COUPON_REFUSED'],
    ['with an unknown field', { amount: 100 }, 400, 'VALIDATION_FAILED'],
    ['of a bill that does not exist', { billId: newId('bil') }, 404, 'NOT_FOUND'],
    ['of what is no bill', { billId: newId('pay') }, 400, 'VALIDATION_FAILED'],
  ])('%s', async (_, change, status, code) => {
    const bill = world.billing.addBill(person.userId)
    const before = await traces()
    const request = { billId: bill.id, amountMinor: 100, currency: 'NGN' }
    const reply = await person.post('/payments', {
      ...request,
      instrument: 'test_success',
      ...change,
    })
    expect(reply).toMatchObject({ status, body: { ...problem, code, status } })
    expect(await traces()).toEqual(before)
    expect(bill.reservedMinor).toBe(0)
  })

  test("of someone else's bill", async () => {
    const bill = world.billing.addBill(world.person().userId)
    const reply = await person.post('/payments', {
      billId: bill.id,
      amountMinor: 100,
      currency: 'NGN',
      instrument: 'test_success',
    })
    expect(reply).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } })
    expect(bill.reservedMinor).toBe(0)
  })
})

describe("S2 someone else's payment", () => {
  test('is not there: whatever is tried is a 404 and has no effect', async () => {
    const stranger = world.person()
    const open = await person.create()
    const paid = await person.create()
    await person.confirm(paid.id)
    const before = await traces()
    const replies = [
      await stranger.get(`/payments/${open.id}`),
      await stranger.confirm(open.id),
      await stranger.cancel(open.id),
      await stranger.refund(paid.id, 1),
      await stranger.get(`/payments/${paid.id}/refunds`),
      await stranger.confirm(newId('pay')),
    ]
    for (const reply of replies) {
      expect(reply).toMatchObject({ status: 404, body: { ...problem, code: 'NOT_FOUND' } })
      expect(reply.body['detail']).toBe('You have no such payment.')
    }
    expect(await traces()).toEqual(before)
    expect(await person.payment(open.id)).toMatchObject({ state: 'requires_confirmation' })
    expect((await stranger.get('/payments')).body['items']).toEqual([])
    expect((await stranger.get('/payments/recent')).body['items']).toEqual([])
  })

  test('cannot be reached without a token, and the ledger not by a person', async () => {
    const payment = await person.create()
    expect((await world.send('GET', `/payments/${payment.id}`)).status).toBe(401)
    expect((await person.get('/ledger/verify')).status).toBe(403)
  })
})
