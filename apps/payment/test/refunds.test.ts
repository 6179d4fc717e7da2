import { newId } from '@wattle/contracts'
import { eventually } from '@wattle/testkit'
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

async function paid(changes: Record<string, unknown> = {}) {
  const payment = await person.create(changes)
  const { body } = await person.confirm(payment.id)
  expect(body['state']).toBe('succeeded')
  return payment
}
const findings = async () => (await world.verify()).body['findings']
const refundsOf = async (paymentId: string) =>
  (await person.get(`/payments/${paymentId}/refunds`)).body['items'] as Record<string, unknown>[]

describe('S2 a refund', () => {
  test('gives back a part, is seen on the payment, and billing learns of it', async () => {
    const bill = world.billing.addBill(person.userId, 500)
    const payment = await paid({ billId: bill.id, amountMinor: 100 })
    const reply = await person.refund(payment.id, 40)
    expect(reply).toMatchObject({ status: 201, body: { state: 'succeeded', amountMinor: 40 } })
    expect(await person.payment(payment.id)).toMatchObject({ refundedMinor: 40 })
    expect(await refundsOf(payment.id)).toEqual([reply.body])
    expect(await world.eventsOf(payment.id)).toEqual(['payment.succeeded', 'payment.refunded'])
    await world.deliverEvents()
    expect(bill.paidMinor).toBe(60)
    expect(await findings()).toEqual([])
  })

  test('of more than is left is refused and says what is left', async () => {
    const payment = await paid()
    await person.refund(payment.id, 60)
    const reply = await person.refund(payment.id, 41)
    expect(reply).toMatchObject({ status: 409, body: { code: 'REFUND_EXCEEDS_PAYMENT' } })
    expect(reply.body['detail']).toContain('40')
    expect(await refundsOf(payment.id)).toHaveLength(1)
    expect((await person.refund(payment.id, 40)).status).toBe(201)
    expect((await person.refund(payment.id, 1)).status).toBe(409)
    expect(await person.payment(payment.id)).toMatchObject({ refundedMinor: 100 })
    expect(await findings()).toEqual([])
  })

  test('of what a coupon paid is refused', async () => {
    const payment = await paid({ couponCode: 'TWENTY' })
    expect(await person.refund(payment.id, 81)).toMatchObject({
      status: 409,
      body: { code: 'REFUND_EXCEEDS_PAYMENT' },
    })
    expect((await person.refund(payment.id, 80)).status).toBe(201)
    expect(await findings()).toEqual([])
  })

  test('twice at once gives back what is left once', async () => {
    const payment = await paid()
    const replies = await Promise.all(
      Array.from({ length: 8 }, () => person.refund(payment.id, 60)),
    )
    const statuses = replies.map(({ status }) => status).toSorted()
    expect(statuses).toEqual([201, 409, 409, 409, 409, 409, 409, 409])
    expect(await person.payment(payment.id)).toMatchObject({ refundedMinor: 60 })
    const rows = await world.postgres.query(
      'select sum(amount_minor)::int as given from sandbox_refunds where charge_key = $1',
      [payment.id],
    )
    expect(rows).toEqual([{ given: 60 }])
    expect(await findings()).toEqual([])
  })

  test.each([-1, 0, 0.5, Number.MAX_SAFE_INTEGER + 1, '10', null])(
    'of %s is refused with a problem document that names the field',
    async (amount) => {
      const payment = await paid()
      const reply = await person.refund(payment.id, amount)
      expect(reply).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } })
      expect(JSON.stringify(reply.body['errors'])).toContain('amountMinor')
      expect(await refundsOf(payment.id)).toEqual([])
    },
  )

  test('of the largest amount there is, is refused and overflows nothing', async () => {
    const payment = await paid()
    const reply = await person.refund(payment.id, Number.MAX_SAFE_INTEGER)
    expect(reply).toMatchObject({ status: 409, body: { code: 'REFUND_EXCEEDS_PAYMENT' } })
  })

  test('of a payment that did not succeed is refused', async () => {
    const open = await person.create()
    const declined = await person.create({ instrument: 'test_declined' })
    await person.confirm(declined.id)
    for (const { id } of [open, declined]) {
      expect(await person.refund(id, 1)).toMatchObject({
        status: 409,
        body: { code: 'PAYMENT_STATE_CONFLICT' },
      })
    }
  })

  test('that the processor refuses leaves the amount where it was', async () => {
    const payment = await paid({ instrument: 'test_refund_fails' })
    expect((await person.refund(payment.id, 100)).body).toMatchObject({
      state: 'failed',
      failureReason: 'account_closed',
    })
    expect(await person.payment(payment.id)).toMatchObject({ refundedMinor: 0 })
    expect(await world.eventsOf(payment.id)).toEqual(['payment.succeeded'])
    expect(await findings()).toEqual([])
    expect((await person.refund(payment.id, 100)).status).toBe(201)
  })

  test.each(['test_refund_timeout', 'test_refund_lost_once'])(
    'without an answer is unknown, its amount stays held, and the janitor finds out (%s)',
    async (instrument) => {
      const payment = await paid({ instrument })
      const reply = await person.refund(payment.id, 70)
      expect(reply).toMatchObject({ status: 201, body: { state: 'unknown' } })
      expect(await person.payment(payment.id)).toMatchObject({ refundedMinor: 0 })
      expect((await person.refund(payment.id, 31)).status).toBe(409)
      expect(await findings()).toEqual([])
      await eventually(async () => {
        await world.janitorNow(payment.id)
        expect(await person.payment(payment.id)).toMatchObject({ refundedMinor: 70 })
      })
      expect(await refundsOf(payment.id)).toMatchObject([{ state: 'succeeded' }])
      const rows = await world.postgres.query(
        'select sum(amount_minor)::int as given from sandbox_refunds where charge_key = $1',
        [payment.id],
      )
      expect(rows).toEqual([{ given: 70 }])
      expect(await findings()).toEqual([])
    },
  )

  test('repeated with its key is the same refund, and the answer of the first', async () => {
    const payment = await paid({ instrument: 'test_refund_timeout' })
    const key = newId('req')
    const [first, ...others] = await Promise.all(
      Array.from({ length: 5 }, () => person.refund(payment.id, 50, key)),
    )
    for (const other of others) expect(other.body).toEqual(first?.body)
    expect(await refundsOf(payment.id)).toHaveLength(1)
  })
})
