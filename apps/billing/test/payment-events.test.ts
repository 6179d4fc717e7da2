import type { Id } from '@wattle/contracts'
import { checkEventMigrations } from '@wattle/events'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { untilHit } from './fixtures.ts'
import { holdOf, outcomeOf, paying, reservation, upTo } from './paying.ts'
import { startPublisher, type Publisher } from './publisher.ts'
import { migrations, startBilling, type BillingWorld, type Person } from './world.ts'

let publisher: Publisher
let world: BillingWorld
let pay: ReturnType<typeof paying>
let person: Person
let billId: Id<'bil'>
beforeAll(async () => {
  publisher = await startPublisher()
  world = await startBilling({ stateUrl: publisher.state.url })
  pay = paying(world)
})
afterAll(async () => {
  await world.stop()
  await publisher.stop()
})
beforeEach(async () => {
  person = world.person()
  billId = await pay.newBill(person, 1_000, { dueDate: '2026-12-01' })
})

const soon = (check: () => Promise<void>) => eventually(check, { withinMs: 15_000, everyMs: 20 })
const shownBill = async () => (await person.get(`/bills/${billId}`)).json<object>()
const held = async (amountMinor = 1_000, couponCode?: string) => {
  const hold = holdOf(person, billId, {
    amountMinor,
    ...(couponCode === undefined ? {} : { couponCode }),
  })
  const reply = await world.reserve(hold)
  expect(reply.statusCode).toBe(200)
  return { hold, ...outcomeOf(hold, reservation(reply).discountMinor) }
}
const deadLetters = (paymentId: string) =>
  world.postgres.query('select cause, error from dead_letters where subject = $1', [paymentId])

describe('what events of payments do to a bill', () => {
  test('a success marks it paid, also where bill and list were cached', async () => {
    await untilHit(() => person.get(`/bills/${billId}`))
    await untilHit(() => person.get('/bills'))
    const { succeeded } = await held()
    await publisher.publish({ type: 'payment.succeeded', payload: succeeded })
    const paid = { state: 'paid', paidMinor: 1_000 }
    await soon(async () => expect(await shownBill()).toMatchObject(paid))
    expect((await person.get('/bills')).json()).toMatchObject({ items: [paid] })
    expect(await pay.amountsOf(billId)).toEqual({ paid: 1_000, reserved: 0, total: 1_000 })
  })

  test('successes of parts make it partially paid, then paid', async () => {
    const [first, second] = [await held(300), await held(700)]
    await publisher.publish({ type: 'payment.succeeded', payload: first.succeeded })
    const part = { state: 'partially_paid', paidMinor: 300 }
    await soon(async () => expect(await shownBill()).toMatchObject(part))
    await publisher.publish({ type: 'payment.succeeded', payload: second.succeeded })
    await soon(async () => expect(await shownBill()).toMatchObject({ state: 'paid' }))
  })

  test('a success with a coupon pays all of the amount', async () => {
    const { succeeded } = await held(1_000, await pay.addCoupon())
    expect(succeeded).toMatchObject({ discountMinor: 100, chargedMinor: 900 })
    await publisher.publish({ type: 'payment.succeeded', payload: succeeded })
    await soon(async () => expect(await shownBill()).toMatchObject({ state: 'paid' }))
  })

  test.each(['payment.failed', 'payment.canceled'] as const)(
    '%s frees the amount and gives back the coupon',
    async (type) => {
      const code = await pay.addCoupon({ use_limit: 1, user_limit: 1, first_payment_only: true })
      const { ended } = await held(1_000, code)
      await publisher.publish({ type, payload: ended })
      await soon(async () => expect((await pay.amountsOf(billId)).reserved).toBe(0))
      await pay.expectSound([person])
      await held(1_000, code)
    },
  )

  test('refunds make as much of it due again, until what was charged is given back', async () => {
    const { hold, succeeded, refunded } = await held(1_000, await pay.addCoupon())
    await untilHit(() => person.get(`/bills/${billId}`))
    await publisher.publish(
      { type: 'payment.succeeded', payload: succeeded },
      { type: 'payment.refunded', payload: refunded(400) },
    )
    const part = { state: 'partially_paid', paidMinor: 600 }
    await soon(async () => expect(await shownBill()).toMatchObject(part))
    await publisher.publish({ type: 'payment.refunded', payload: refunded(500) })
    // what the coupon took off stays paid
    await soon(async () => expect(await shownBill()).toMatchObject({ paidMinor: 100 }))
    const again = await world.reserve(holdOf(person, billId, { amountMinor: 900 }))
    expect(again.statusCode).toBe(200)

    await publisher.publish({ type: 'payment.refunded', payload: refunded(1) })
    await soon(async () => expect(await deadLetters(hold.paymentId)).toHaveLength(1))
    expect((await pay.amountsOf(billId)).paid).toBe(100)
  })
})

describe('events that contradict what is held change nothing, and are kept with the reason', () => {
  test('a success without a hold', async () => {
    const { succeeded } = outcomeOf(holdOf(person, billId))
    await publisher.publish({ type: 'payment.succeeded', payload: succeeded })
    await soon(async () => {
      const [letter] = await deadLetters(succeeded.paymentId)
      expect(letter).toMatchObject({
        cause: 'failed',
        error: expect.stringMatching('does not exist') as string,
      })
    })
    expect(await pay.amountsOf(billId)).toMatchObject({ paid: 0, reserved: 0 })
  })

  test('a success after the release', async () => {
    const { ended, succeeded } = await held()
    await publisher.publish(
      { type: 'payment.canceled' as const, payload: ended },
      { type: 'payment.succeeded', payload: succeeded },
    )
    await soon(async () => {
      const [letter] = await deadLetters(succeeded.paymentId)
      expect(letter?.['error']).toMatch('cannot be committed: it is released')
    })
    expect(await pay.amountsOf(billId)).toMatchObject({ paid: 0, reserved: 0 })
  })

  test.each([
    ['a larger amount', { amountMinor: 1_000, chargedMinor: 1_000 }],
    ['a smaller amount', { amountMinor: 400, chargedMinor: 400 }],
    ['another discount', { discountMinor: 1, chargedMinor: 499 }],
    ['another currency', { currency: 'USD' as const }],
  ])('a success with %s than is held', async (_what, change) => {
    const { succeeded } = await held(500)
    const payload = { ...succeeded, ...change }
    await publisher.publish({ type: 'payment.succeeded', payload })
    await soon(async () => expect(await deadLetters(payload.paymentId)).toHaveLength(1))
    expect(await pay.amountsOf(billId)).toMatchObject({ paid: 0, reserved: 500 })
  })

  test('a success for another bill than is held', async () => {
    const { succeeded } = await held(500)
    const otherBill = await pay.newBill(person)
    await publisher.publish({
      type: 'payment.succeeded',
      payload: { ...succeeded, billId: otherBill },
    })
    await soon(async () => expect(await deadLetters(succeeded.paymentId)).toHaveLength(1))
    for (const id of [billId, otherBill]) expect((await pay.amountsOf(id)).paid).toBe(0)
  })

  test('a failure after the success', async () => {
    const { ended, succeeded } = await held()
    await publisher.publish(
      { type: 'payment.succeeded', payload: succeeded },
      { type: 'payment.failed' as const, payload: ended },
    )
    await soon(async () => expect(await deadLetters(ended.paymentId)).toHaveLength(1))
    expect(await pay.amountsOf(billId)).toMatchObject({ paid: 1_000, reserved: 0 })
  })

  test('a repetition has no second effect, whatever brings it', async () => {
    const [first, second] = [await held(300), await held(200)]
    for (const _ of upTo(3)) {
      await pay.learn('payment.succeeded', first.succeeded)
      await pay.learn('payment.failed', second.ended)
    }
    expect(await pay.amountsOf(billId)).toMatchObject({ paid: 300, reserved: 0 })
  })
})

describe('when parts are away', () => {
  test('without the events Redis holds are made, the service is ready, and what happened meanwhile comes later', async () => {
    const { succeeded } = await held(600)
    await publisher.state.kill()
    try {
      await publisher.publish({ type: 'payment.succeeded', payload: succeeded })
      await held(400)
      expect((await world.app.inject('/readyz')).statusCode).toBe(200)
    } finally {
      await publisher.state.restart()
    }
    await soon(async () => expect(await shownBill()).toMatchObject({ paidMinor: 600 }))
  })

  test('without the database events wait, and are handled when it is back', async () => {
    const { succeeded } = await held()
    await world.postgres.refuse()
    try {
      await publisher.publish({ type: 'payment.succeeded', payload: succeeded })
      expect((await world.reserve(holdOf(person, billId))).statusCode).toBe(503)
    } finally {
      await world.postgres.allow()
    }
    await soon(async () => expect(await shownBill()).toMatchObject({ state: 'paid' }))
    expect(await deadLetters(succeeded.paymentId)).toEqual([])
  })

  test('300 payments, while connections are cut: each hold ends as its payment did', async () => {
    const code = await pay.addCoupon({ use_limit: 150 })
    const people = upTo(60).map(() => world.person())
    const bills = await Promise.all(people.map((one) => pay.newBill(one)))
    const isDone = new AbortController()
    const cutting = (async () => {
      for (let cuts = 0; cuts < 60 && !isDone.signal.aborted; cuts += 1) {
        await world.postgres.disconnectAll()
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const ended = await Promise.all(
      upTo(300).map(async (number) => {
        const [one, id] = [people[number % 60]!, bills[number % 60]!]
        const coupon = number % 2 ? { couponCode: code } : {}
        const hold = holdOf(one, id, { amountMinor: 100 + (number % 7) * 50, ...coupon })
        const reply = await pay.reserve(hold)
        const outcome = outcomeOf(hold, reservation(reply).discountMinor)
        const isPaid = reply.statusCode === 200 && number % 3 > 0
        await publisher.publish(
          isPaid
            ? { type: 'payment.succeeded' as const, payload: outcome.succeeded }
            : { type: 'payment.failed' as const, payload: outcome.ended },
        )
        return { id: hold.paymentId, state: isPaid ? 'committed' : 'released' }
      }),
    )
    isDone.abort()
    await cutting
    await eventually(
      async () => {
        const open = `select 1 from reservations where state = 'reserved' and user_id = any ($1)`
        const ids = [people.map(({ userId }) => userId)]
        expect(await world.postgres.query(open, ids)).toEqual([])
        const marks = 'select count(*)::int as count from reservations where payment_id = any ($1)'
        const [row] = await world.postgres.query(marks, [ended.map(({ id }) => id)])
        expect(row?.['count']).toBe(300)
      },
      { withinMs: 40_000, everyMs: 100 },
    )
    const rows = await world.postgres.query(
      'select payment_id, state from reservations where payment_id = any ($1)',
      [ended.map(({ id }) => id)],
    )
    const states = new Map(rows.map((row) => [row['payment_id'], row['state']]))
    expect(ended.filter(({ id, state }) => states.get(id) !== state)).toEqual([])
    await pay.expectSound(people)
  }, 90_000)
})

describe('the tables of events', () => {
  test('are those of the package', () => {
    expect(() => checkEventMigrations(migrations, ['inbox'])).not.toThrow()
  })
})
