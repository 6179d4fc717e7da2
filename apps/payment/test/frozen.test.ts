import { randomUUID } from 'node:crypto'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startPayment, type PaymentWorld, type Person } from './world.ts'

/**
 * Two copies of the service on one database. `frozen` stops at a point that a test chooses, as a process does that is
 * suspended there; `awake` goes on meanwhile; then the frozen one wakes up and goes on where it stood.
 */
let awake: PaymentWorld
/** A third, for which every payment is too old to be charged again. */
let impatient: PaymentWorld
let frozen: PaymentWorld
let person: Person
/** The same person, calling the other copy. */
let late: Person

type Point = 'before reserve' | 'before charge' | 'after charge' | 'before refund' | 'after refund'
let stop: { at: Point; reached: () => void; woken: Promise<void> } | undefined

async function stand(at: Point): Promise<void> {
  if (stop?.at !== at) return
  const { reached, woken } = stop
  stop = undefined
  reached()
  await woken
}

/** Lets the next request stop there; resolves when it stands. */
function freezeAt(at: Point) {
  const reached = Promise.withResolvers<void>()
  const woken = Promise.withResolvers<void>()
  stop = { at, reached: reached.resolve, woken: woken.promise }
  return { stands: reached.promise, wake: woken.resolve }
}

beforeAll(async () => {
  awake = await startPayment()
  impatient = await startPayment({ outside: awake.outside, timing: { chargeAgainForMs: 0 } })
  frozen = await startPayment({
    outside: awake.outside,
    timing: { processorTimeoutMs: 60_000 },
    beforeReserve: () => stand('before reserve'),
    around: (sandbox) => ({
      ...sandbox,
      async charge(request, signal) {
        await stand('before charge')
        const answer = await sandbox.charge(request, signal)
        await stand('after charge')
        return answer
      },
      async refund(request, signal) {
        await stand('before refund')
        const answer = await sandbox.refund(request, signal)
        await stand('after refund')
        return answer
      },
    }),
  })
})
afterAll(async () => {
  await frozen.stop()
  await impatient.stop()
  await awake.stop()
})
beforeEach(() => {
  person = awake.person()
  late = frozen.person(person.userId)
  delete awake.billing.hooks.after
})

const calls = async (paymentId: string) => {
  const rows = await awake.postgres.query(
    'select calls, outcome from sandbox_charges where key = $1',
    [paymentId],
  )
  return rows[0]
}
/** Everything that must hold at the end, whatever happened. */
async function rightInTheEnd(): Promise<void> {
  await awake.deliverEvents()
  expect((await awake.verify()).body).toMatchObject({ balanced: true, findings: [] })
}

describe('S2 a process that freezes in a confirmation', () => {
  test('before it charges, and wakes after the janitor had the charge canceled, changes nothing', async () => {
    const bill = awake.billing.addBill(person.userId)
    const payment = await person.create({ billId: bill.id })
    const { stands, wake } = freezeAt('before charge')
    const confirming = late.confirm(payment.id)
    await stands
    await impatient.janitorNow(payment.id)
    expect(await person.payment(payment.id)).toMatchObject({ state: 'failed' })
    wake()
    expect((await confirming).body).toMatchObject({ state: 'failed', failureReason: 'canceled' })
    expect(await awake.eventsOf(payment.id)).toEqual(['payment.failed'])
    expect(await calls(payment.id)).toMatchObject({ outcome: 'canceled' })
    await rightInTheEnd()
    expect(bill).toMatchObject({ paidMinor: 0, reservedMinor: 0 })
  })

  test('before it charges, and wakes after the janitor charged, does not charge twice', async () => {
    const payment = await person.create()
    const { stands, wake } = freezeAt('before charge')
    const confirming = late.confirm(payment.id)
    await stands
    await awake.janitorNow(payment.id)
    expect(await person.payment(payment.id)).toMatchObject({ state: 'succeeded' })
    wake()
    expect((await confirming).body).toMatchObject({ state: 'succeeded' })
    expect(await awake.eventsOf(payment.id)).toEqual(['payment.succeeded'])
    expect(await calls(payment.id)).toEqual({ calls: 2, outcome: 'succeeded' })
    await rightInTheEnd()
  })

  test.each(['test_success', 'test_declined'])(
    'after it charged, and wakes after the janitor settled, changes nothing (%s)',
    async (instrument) => {
      const payment = await person.create({ instrument })
      const { stands, wake } = freezeAt('after charge')
      const confirming = late.confirm(payment.id)
      await stands
      await awake.janitorNow(payment.id)
      const settled = await person.payment(payment.id)
      expect(['succeeded', 'failed']).toContain(settled.state)
      wake()
      expect((await confirming).body).toEqual(settled)
      expect(await awake.eventsOf(payment.id)).toHaveLength(1)
      await rightInTheEnd()
    },
  )

  test('is overtaken by the retry of its client, and both get the same answer', async () => {
    const payment = await person.create()
    const key = randomUUID()
    const { stands, wake } = freezeAt('before charge')
    const confirming = late.confirm(payment.id, key)
    await stands
    await awake.postgres.query(
      `update idempotency_keys set lease_until = now() where key = '${key}'`,
    )
    const retried = await person.confirm(payment.id, key)
    expect(retried).toMatchObject({ status: 200, body: { state: 'succeeded' } })
    wake()
    expect((await confirming).body).toEqual(retried.body)
    expect(await awake.eventsOf(payment.id)).toEqual(['payment.succeeded'])
    await rightInTheEnd()
  })

  test('tells what the retry of its client was told, though more is known by then', async () => {
    const payment = await person.create({ instrument: 'test_late_success' })
    const key = randomUUID()
    const { stands, wake } = freezeAt('before charge')
    const confirming = late.confirm(payment.id, key)
    await stands
    await awake.postgres.query(
      `update idempotency_keys set lease_until = now() where key = '${key}'`,
    )
    const retried = await person.confirm(payment.id, key)
    expect(retried.body).toMatchObject({ state: 'processing' })
    await eventually(async () => {
      await awake.janitorNow(payment.id)
      expect(await person.payment(payment.id)).toMatchObject({ state: 'succeeded' })
    })
    wake()
    expect((await confirming).body).toEqual(retried.body)
    expect((await person.confirm(payment.id, key)).body).toEqual(retried.body)
    await rightInTheEnd()
  })

  test('does not stop the payment from being refunded, nor does its waking undo that', async () => {
    const payment = await person.create()
    const { stands, wake } = freezeAt('after charge')
    const confirming = late.confirm(payment.id)
    await stands
    await awake.janitorNow(payment.id)
    expect((await person.refund(payment.id, 30)).body).toMatchObject({ state: 'succeeded' })
    wake()
    await confirming
    expect(await person.payment(payment.id)).toMatchObject({
      state: 'succeeded',
      refundedMinor: 30,
    })
    await rightInTheEnd()
  })
})

describe('S2 a process that freezes in a creation', () => {
  const wanted = (billId: string) => ({
    billId,
    amountMinor: 100,
    currency: 'NGN',
    instrument: 'test_success',
  })
  const givenUp = (billId: string) =>
    eventually(async () => {
      const [row] = await awake.postgres.query(
        'select id, reservation from payments where bill_id = $1 order by created_at',
        [billId],
      )
      await awake.janitorNow(row?.['id'])
      expect(row?.['reservation']).toBe('abandoned')
      return row?.['id']
    })

  test('before it asks billing, and wakes after it was given up, cannot bring the hold back', async () => {
    const bill = awake.billing.addBill(person.userId, 100)
    const { stands, wake } = freezeAt('before reserve')
    const creating = late.post('/payments', wanted(bill.id))
    await stands
    const abandoned = await givenUp(bill.id)
    await awake.deliverEvents()
    wake()
    const reply = await creating
    expect(reply.status).toBe(201)
    expect(reply.body['id']).not.toBe(abandoned)
    expect(awake.billing.holds.get(abandoned as 'pay_')).toMatchObject({ state: 'released' })
    expect(bill.reservedMinor).toBe(100)
    await rightInTheEnd()
  })

  test('after billing held the amount, and wakes after it was given up, leaves no hold behind', async () => {
    const bill = awake.billing.addBill(person.userId, 200)
    const held = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    awake.billing.hooks.after = () => {
      delete awake.billing.hooks.after
      held.resolve()
      return goOn.promise
    }
    const creating = late.post('/payments', wanted(bill.id))
    await held.promise
    const abandoned = await givenUp(bill.id)
    goOn.resolve()
    const reply = await creating
    expect(reply.status).toBe(201)
    expect(reply.body['id']).not.toBe(abandoned)
    await rightInTheEnd()
    expect(bill.reservedMinor).toBe(100)
  })
})

describe('S2 a process that freezes in a refund', () => {
  test.each(['before refund', 'after refund'] as const)(
    '%s, and wakes after the janitor gave the money back, gives it once',
    async (point) => {
      const payment = await person.create()
      await person.confirm(payment.id)
      const { stands, wake } = freezeAt(point)
      const refunding = late.refund(payment.id, 60)
      await stands
      await awake.janitorNow(payment.id)
      expect(await person.payment(payment.id)).toMatchObject({ refundedMinor: 60 })
      wake()
      expect((await refunding).body).toMatchObject({ state: 'succeeded', amountMinor: 60 })
      expect(await person.payment(payment.id)).toMatchObject({ refundedMinor: 60 })
      expect(await awake.eventsOf(payment.id)).toEqual(['payment.succeeded', 'payment.refunded'])
      await rightInTheEnd()
    },
  )
})
