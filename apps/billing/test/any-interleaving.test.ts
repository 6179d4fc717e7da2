import { newId } from '@wattle/contracts'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { holdOf, outcomeOf, paying, problem, reservation, type ReserveBody } from './paying.ts'
import { startBilling, type BillingWorld } from './world.ts'

let world: BillingWorld
let pay: ReturnType<typeof paying>
beforeAll(async () => {
  world = await startBilling()
  pay = paying(world)
})
afterAll(() => world.stop())

const payments = 10
const numRuns = Number(process.env['WATTLE_TEST_RUNS'] ?? 30)
const step = fc.record({
  what: fc.constantFrom('reserve', 'reserve', 'reserve', 'succeed', 'fail', 'cancel', 'refund'),
  payment: fc.nat({ max: payments - 1 }),
  refundMinor: fc.constantFrom(1, 50, 200),
})
const plan = fc.record({
  payments: fc.array(
    fc.record({
      person: fc.nat({ max: 1 }),
      bill: fc.nat({ max: 1 }),
      amountMinor: fc.constantFrom(100, 250, 400, 1_000),
      coupon: fc.constantFrom(undefined, 0, 1, 2, 3),
    }),
    { minLength: payments, maxLength: payments },
  ),
  /** The steps of a batch run at once, the batches one after the other. */
  batches: fc.array(fc.array(step, { minLength: 1, maxLength: 12 }), {
    minLength: 2,
    maxLength: 6,
  }),
})
type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never
type Step = Plan['batches'][number][number]

/** What may be said against a step; anything else is a fault. */
const contradiction =
  /cannot be committed|cannot be released: it is committed|has paid nothing|held is|refunded_at_most/
const refusals = new Set(['AMOUNT_EXCEEDS_DUE', 'BILL_NOT_PAYABLE', 'COUPON_REFUSED'])

/** Repeats what was interrupted, as the consumer does. */
async function untilDone(work: () => Promise<unknown>): Promise<void> {
  for (;;) {
    const error = await work().then(
      () => undefined,
      (cause: unknown) => cause as { code?: string },
    )
    if (error === undefined) return
    if (error.code !== 'UNAVAILABLE') throw error
  }
}

async function play({ payments: wanted, batches }: Plan): Promise<void> {
  const people = [world.person(), world.person()]
  const bills = await Promise.all(
    people.map((one) => Promise.all([pay.newBill(one), pay.newBill(one)])),
  )
  const coupons = await Promise.all([
    pay.addCoupon({ use_limit: 2 }),
    pay.addCoupon({ user_limit: 1, use_limit: 3 }),
    pay.addCoupon({ first_payment_only: true }),
    pay.addCoupon({ first_payment_only: true, off_minor: 10, currency: 'NGN', user_limit: 2 }),
  ])
  const holds = wanted.map(({ person, bill, amountMinor, coupon }) =>
    holdOf(people[person]!, bills[person]![bill]!, {
      amountMinor,
      ...(coupon === undefined ? {} : { couponCode: coupons[coupon] }),
    }),
  )
  const ids = holds.map(({ paymentId }) => paymentId)
  const answers = new Map<string, string>()
  let before = new Map<unknown, unknown>()

  const run = async ({ what, payment, refundMinor }: Step) => {
    const hold = holds[payment]!
    if (what === 'reserve') return reserve(hold)
    const outcome = outcomeOf(hold, discounts.get(hold.paymentId) ?? 0)
    const told = {
      succeed: () => pay.learn('payment.succeeded', outcome.succeeded),
      fail: () => pay.learn('payment.failed', outcome.ended),
      cancel: () => pay.learn('payment.canceled', outcome.ended),
      refund: () => pay.learn('payment.refunded', outcome.refunded(refundMinor)),
    }[what as 'succeed']
    await untilDone(told).catch((error: unknown) => {
      if (!contradiction.test(String(error))) throw error
    })
  }
  const discounts = new Map<string, number>()
  const reserve = async (hold: ReserveBody) => {
    const reply = await pay.reserve(hold)
    if (reply.statusCode === 200) {
      const { state: _, ...answer } = reservation(reply)
      // the same payment, the same answer
      const text = JSON.stringify(answer)
      expect(answers.get(hold.paymentId) ?? text).toBe(text)
      answers.set(hold.paymentId, text)
      discounts.set(hold.paymentId, answer.discountMinor)
      return
    }
    const { code } = problem(reply)
    if (code !== 'PAYMENT_STATE_CONFLICT') expect(refusals).toContain(code)
  }
  const expectOneWay = async () => {
    const rows = await world.postgres.query(
      'select payment_id, state from reservations where payment_id = any ($1)',
      [ids],
    )
    const now = new Map(rows.map((row) => [row['payment_id'], row['state']]))
    for (const [id, state] of before) {
      if (state === 'reserved') expect(now.has(id)).toBe(true)
      else expect(now.get(id)).toBe(state)
    }
    for (const id of answers.keys()) expect(now.has(id)).toBe(true)
    before = now
  }

  for (const batch of batches) {
    await Promise.all(batch.map(run))
    await pay.expectSound(people)
    await expectOneWay()
  }
  const firsts = await world.postgres.query(
    `select user_id from reservations where first_payment and state <> 'released' and user_id = any ($1)
     group by user_id having count(*) > 1`,
    [people.map(({ userId }) => userId)],
  )
  expect(firsts).toEqual([])

  // every payment comes to an end, so nothing stays held
  const open = holds.filter(({ paymentId }) => before.get(paymentId) !== 'committed')
  await Promise.all(
    open.map((hold) => untilDone(() => pay.learn('payment.canceled', outcomeOf(hold).ended))),
  )
  for (const id of bills.flat()) expect((await pay.amountsOf(id)).reserved).toBe(0)
  await pay.expectSound(people)
}

describe('holds, coupons and the ends of payments in any order, at once and repeated', () => {
  test(
    'keep paid + held within the total, each limit, and each end for good',
    async () => {
      const seed = Number(process.env['WATTLE_TEST_SEED'] ?? Date.now())
      console.log(`seed ${seed}; again with WATTLE_TEST_SEED=${seed}`)
      await fc.assert(fc.asyncProperty(plan, play), { seed, numRuns, endOnFailure: true })
      const [statistics] = await world.postgres.query(
        'select deadlocks::int from pg_stat_database where datname = current_database()',
      )
      expect(statistics).toEqual({ deadlocks: 0 })
    },
    60_000 + numRuns * 3_000,
  )

  test('also when the connections are cut all the while', async () => {
    const couponCode = await pay.addCoupon({ use_limit: 5, user_limit: 5 })
    const person = world.person()
    const bills = await Promise.all([pay.newBill(person), pay.newBill(person)])
    const holds = Array.from({ length: 40 }, (_, index) =>
      holdOf(person, bills[index % 2]!, {
        paymentId: newId('pay'),
        amountMinor: 130,
        ...(index % 3 ? { couponCode } : {}),
      }),
    )
    const isDone = new AbortController()
    const cutting = (async () => {
      for (let cuts = 0; cuts < 40 && !isDone.signal.aborted; cuts += 1) {
        await world.postgres.disconnectAll()
      }
    })()
    await Promise.all(
      holds.map(async (hold, index) => {
        const reply = await pay.reserve(hold)
        const { succeeded, ended } = outcomeOf(
          hold,
          reply.statusCode === 200 ? reservation(reply).discountMinor : 0,
        )
        await untilDone(() =>
          reply.statusCode === 200 && index % 4 > 0
            ? pay.learn('payment.succeeded', succeeded)
            : pay.learn('payment.failed', ended),
        )
      }),
    )
    isDone.abort()
    await cutting
    for (const id of bills) expect((await pay.amountsOf(id)).reserved).toBe(0)
    await pay.expectSound([person])
  }, 60_000)
})
