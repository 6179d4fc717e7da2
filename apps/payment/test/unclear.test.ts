import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { janitorRound } from '../src/janitor/janitor.ts'
import { janitorStore } from '../src/janitor/janitor-store.ts'
import { startPayment, type PaymentWorld, type Person } from './world.ts'

let world: PaymentWorld
/** A copy for which every payment is too old to be charged again. */
let impatient: PaymentWorld
let person: Person
beforeAll(async () => {
  world = await startPayment()
  impatient = await startPayment({ outside: world.outside, timing: { chargeAgainForMs: 0 } })
})
afterAll(async () => {
  await impatient.stop()
  await world.stop()
})
beforeEach(() => {
  person = world.person()
})

const chargesOf = (paymentId: string) =>
  world.postgres.query('select outcome from sandbox_charges where key = $1', [paymentId])

/** Runs the janitor until the payment is in this state. */
const until = (paymentId: string, state: string) =>
  eventually(async () => {
    await world.janitorNow(paymentId)
    expect(await person.payment(paymentId)).toMatchObject({ state })
  })

describe('S2 a charge that is not answered in time', () => {
  test.each([
    ['test_timeout_succeeds', 'succeeded', 'succeeded', 'payment.succeeded'],
    ['test_timeout_fails', 'failed', 'failed', 'payment.failed'],
  ])(
    'is unknown, never failed, until the processor says so (%s)',
    async (instrument, state, outcome, event) => {
      const bill = world.billing.addBill(person.userId)
      const payment = await person.create({ billId: bill.id, instrument })
      const confirmed = await person.confirm(payment.id)
      expect(confirmed).toMatchObject({ status: 200, body: { state: 'unknown' } })
      expect(bill.reservedMinor).toBe(100)
      expect(await world.eventsOf(payment.id)).toEqual([])
      expect((await world.verify()).body['findings']).toEqual([])

      await until(payment.id, state)
      expect(await chargesOf(payment.id)).toEqual([{ outcome }])
      expect(await world.eventsOf(payment.id)).toEqual([event])
      await world.deliverEvents()
      expect(bill).toMatchObject({ reservedMinor: 0, paidMinor: state === 'succeeded' ? 100 : 0 })
      expect((await world.verify()).body['findings']).toEqual([])
    },
  )

  test('and never arrived is sent again while it is young, then canceled at the processor', async () => {
    const payment = await person.create({ instrument: 'test_timeout_never_received' })
    expect((await person.confirm(payment.id)).body).toMatchObject({ state: 'unknown' })
    await world.janitorNow(payment.id)
    expect(await person.payment(payment.id)).toMatchObject({ state: 'unknown' })
    expect(await chargesOf(payment.id)).toEqual([])
    await impatient.janitorNow(payment.id)
    expect(await person.payment(payment.id)).toMatchObject({ failureReason: 'canceled' })
    expect(await chargesOf(payment.id)).toEqual([{ outcome: 'canceled' }])
    expect(await world.eventsOf(payment.id)).toEqual(['payment.failed'])
  })

  test('blocks what would act on its outcome', async () => {
    const payment = await person.create({ instrument: 'test_timeout_succeeds' })
    await person.confirm(payment.id)
    for (const reply of [
      await person.confirm(payment.id),
      await person.cancel(payment.id),
      await person.refund(payment.id, 1),
    ]) {
      expect(reply).toMatchObject({ status: 409, body: { code: 'PAYMENT_STATE_CONFLICT' } })
    }
  })

  test('by a processor slower than the request, is answered in time as it stands', async () => {
    const slow = await startPayment({ timing: { processorTimeoutMs: 3_000 }, settleMs: 200 })
    try {
      const someone = slow.person()
      const payment = await someone.create({ instrument: 'test_timeout_succeeds' })
      const reply = await slow.send('POST', `/payments/${payment.id}/confirm`, {
        headers: {
          authorization: someone.authorization(),
          'idempotency-key': 'k',
          'x-deadline-ms': '900',
        },
      })
      expect(reply).toMatchObject({ status: 200, body: { state: 'processing' } })
    } finally {
      await slow.stop()
    }
  })
})

describe('S2 a charge that is decided later', () => {
  test('is processing until then', async () => {
    const payment = await person.create({ instrument: 'test_late_success' })
    expect((await person.confirm(payment.id)).body).toMatchObject({ state: 'processing' })
    await until(payment.id, 'succeeded')
  })
})

describe('S2 the janitor', () => {
  test('cancels a payment that nobody confirms, and its hold is released', async () => {
    const bill = world.billing.addBill(person.userId)
    const payment = await person.create({ billId: bill.id })
    await world.janitorNow(payment.id)
    expect(await person.payment(payment.id)).toMatchObject({
      state: 'canceled',
      failureReason: 'expired',
    })
    expect(await person.confirm(payment.id)).toMatchObject({
      status: 409,
      body: { code: 'PAYMENT_STATE_CONFLICT' },
    })
    await world.deliverEvents()
    expect(bill.reservedMinor).toBe(0)
  })

  test('leaves alone what is not due', async () => {
    const payment = await person.create()
    await janitorRound(world.janitor)
    expect(await person.payment(payment.id)).toMatchObject({ state: 'requires_confirmation' })
  })

  test('passes over what another process is just taking on, without waiting, and afterwards too', async () => {
    const payment = await person.create()
    const claimMs = 60_000
    await world.postgres.query(
      `update payments set next_attempt_at = now() - interval '1 hour' where id = $1`,
      [payment.id],
    )
    const claimed = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    const first = world.database.transaction(async (trx) => {
      const rows = await janitorStore(trx).claimPayments(100, claimMs)
      claimed.resolve()
      await goOn.promise
      return rows
    })
    await claimed.promise
    const others = janitorStore(world.database.kysely)
    const idsOf = (rows: readonly { id: string }[]) => rows.map(({ id }) => id)
    try {
      expect(idsOf(await others.claimPayments(100, claimMs))).not.toContain(payment.id)
    } finally {
      goOn.resolve()
    }
    expect(idsOf(await first)).toContain(payment.id)
    expect(idsOf(await others.claimPayments(100, claimMs))).not.toContain(payment.id)
  })

  test('takes over what another process took on and did not finish', async () => {
    const payment = await person.create()
    await world.postgres.query(
      `update payments set next_attempt_at = now() - interval '1 hour' where id = $1`,
      [payment.id],
    )
    const store = janitorStore(world.database.kysely)
    const idsOf = (rows: readonly { id: string }[]) => rows.map(({ id }) => id)
    expect(idsOf(await store.claimPayments(100, 200))).toContain(payment.id)
    await eventually(async () => {
      expect(idsOf(await store.claimPayments(100, 60_000))).toContain(payment.id)
    })
  })
})
