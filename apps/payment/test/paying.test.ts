import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startPayment, type PaymentWorld, type Person } from './world.ts'

let world: PaymentWorld
let person: Person
beforeAll(async () => {
  world = await startPayment()
  world.startCallbacks()
})
afterAll(() => world.stop())
beforeEach(() => {
  person = world.person()
})

describe('S2 a payment', () => {
  test('holds the amount, charges it once when confirmed, and tells billing', async () => {
    const bill = world.billing.addBill(person.userId, 500)
    const payment = await person.create({ billId: bill.id, amountMinor: 300 })
    expect(payment).toMatchObject({ state: 'requires_confirmation', chargeMinor: 300 })
    expect(bill.reservedMinor).toBe(300)

    const confirmed = await person.confirm(payment.id)
    expect(confirmed).toMatchObject({ status: 200, body: { state: 'succeeded' } })
    await world.deliverEvents()
    expect(bill).toMatchObject({ paidMinor: 300, reservedMinor: 0 })
    expect(await world.eventsOf(payment.id)).toEqual(['payment.succeeded'])
    expect((await world.verify()).body).toMatchObject({ balanced: true, findings: [] })
  })

  test.each([
    ['test_declined', 'card_declined'],
    ['test_insufficient_funds', 'insufficient_funds'],
  ])('with %s fails, and its hold is released', async (instrument, failureReason) => {
    const bill = world.billing.addBill(person.userId)
    const payment = await person.create({ billId: bill.id, instrument })
    const confirmed = await person.confirm(payment.id)
    expect(confirmed.body).toMatchObject({ state: 'failed', failureReason })
    await world.deliverEvents()
    expect(bill).toMatchObject({ paidMinor: 0, reservedMinor: 0 })
  })

  test('that a coupon pays in full succeeds without a charge', async () => {
    const payment = await person.create({ couponCode: 'EVERYTHING' })
    expect(payment).toMatchObject({ discountMinor: 100, chargeMinor: 0 })
    expect((await person.confirm(payment.id)).body).toMatchObject({ state: 'succeeded' })
    expect((await world.verify()).body).toMatchObject({ findings: [] })
    const charges = await world.postgres.query('select from sandbox_charges where key = $1', [
      payment.id,
    ])
    expect(charges).toEqual([])
  })
})
