import { globSync, readFileSync } from 'node:fs'
import { newId, type Id } from '@wattle/contracts'
import { generateSigningKey, readSigningKeys, serviceTokens } from '@wattle/identity'
import { eventually } from '@wattle/testkit'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { untilHit } from './fixtures.ts'
import { holdOf, outcomeOf, paying, problem, reservation, upTo } from './paying.ts'
import { startBilling, type BillingWorld, type Person } from './world.ts'

let world: BillingWorld
let pay: ReturnType<typeof paying>
let person: Person
let billId: Id<'bil'>
beforeAll(async () => {
  world = await startBilling()
  pay = paying(world)
})
afterAll(() => world.stop())
beforeEach(async () => {
  person = world.person()
  billId = await pay.newBill(person)
})

const held = async () => (await pay.amountsOf(billId)).reserved

describe('holding an amount of a bill for a payment', () => {
  test('answers what the payment needs, and shows nothing of it in the bill', async () => {
    const before = (await person.get(`/bills/${billId}`)).json<{ providerId: string }>()
    const hold = holdOf(person, billId, { amountMinor: 400 })
    const reply = await world.reserve(hold)
    expect(reply.statusCode).toBe(200)
    expect(reservation(reply)).toEqual({
      paymentId: hold.paymentId,
      billId,
      providerId: before.providerId,
      currency: 'NGN',
      amountMinor: 400,
      discountMinor: 0,
      chargeMinor: 400,
      state: 'reserved',
    })
    expect(await pay.amountsOf(billId)).toEqual({ paid: 0, reserved: 400, total: 1_000 })
    expect((await person.get(`/bills/${billId}`)).json()).toEqual(before)
  })

  test('the same payment twenty times at once holds once, and gets the same answer each time', async () => {
    const limits = { use_limit: 1, user_limit: 1, first_payment_only: true }
    const couponCode = await pay.addCoupon(limits)
    const hold = holdOf(person, billId, { couponCode })
    const replies = await Promise.all(upTo(20).map(() => pay.reserve(hold)))
    const first = replies[0]?.body
    for (const reply of replies) {
      expect([reply.statusCode, reply.body]).toEqual([200, first])
    }
    expect(await held()).toBe(1_000)
    await pay.expectSound([person])
  })

  test('is repeated with what became of it', async () => {
    const hold = holdOf(person, billId)
    await world.reserve(hold)
    await pay.learn('payment.succeeded', outcomeOf(hold).succeeded)
    const again = await world.reserve(hold)
    expect([again.statusCode, reservation(again).state]).toEqual([200, 'committed'])
    expect(await pay.amountsOf(billId)).toEqual({ paid: 1_000, reserved: 0, total: 1_000 })
  })

  test('the same payment with other terms is a 409 and changes nothing', async () => {
    const hold = holdOf(person, billId, { amountMinor: 400 })
    await world.reserve(hold)
    const otherBill = await pay.newBill(person)
    const couponCode = await pay.addCoupon()
    for (const change of [{ amountMinor: 500 }, { billId: otherBill }, { couponCode }]) {
      const reply = await world.reserve({ ...hold, ...change })
      expect(problem(reply)).toMatchObject({ status: 409, code: 'PAYMENT_STATE_CONFLICT' })
    }
    expect(await held()).toBe(400)
    await pay.expectSound([person])
  })

  test('of two payments for all of a bill at once, one gets it and the other is told why not', async () => {
    for (const _ of upTo(10)) {
      billId = await pay.newBill(person)
      const replies = await Promise.all([1, 2].map(() => world.reserve(holdOf(person, billId))))
      const refused = replies.filter((reply) => reply.statusCode !== 200)
      expect(refused).toHaveLength(1)
      expect(problem(refused[0]!)).toEqual({
        status: 409,
        code: 'AMOUNT_EXCEEDS_DUE',
        detail:
          '0 NGN (minor units) can still be paid of this bill. Payments under way hold another 1000 NGN.',
      })
      expect(await held()).toBe(1_000)
    }
  })

  test('partial payments add up to the total and never over it, a hundred at once', async () => {
    const replies = await Promise.all(
      upTo(100).map(() => pay.reserve(holdOf(person, billId, { amountMinor: 30 }))),
    )
    const statuses = replies.map((reply) => reply.statusCode)
    expect(statuses.filter((status) => status === 200)).toHaveLength(33)
    expect(statuses.filter((status) => status === 409)).toHaveLength(67)
    expect(await held()).toBe(990)
    expect((await world.reserve(holdOf(person, billId, { amountMinor: 10 }))).statusCode).toBe(200)
    expect(await held()).toBe(1_000)
  })

  test.each([
    ['overdue', { dueDate: '2026-10-15' }, 'overdue'],
    ['partially paid', { paidMinor: 400, dueDate: '2026-12-01' }, 'partially_paid'],
    ['partially paid and overdue', { paidMinor: 400, dueDate: '2026-10-15' }, 'overdue'],
  ])('a bill that is %s can be paid', async (_what, changes, state) => {
    billId = await pay.newBill(person, 1_000, changes)
    const shown = (await person.get(`/bills/${billId}`)).json<{ state: string }>()
    expect(shown.state).toBe(state)
    const hold = holdOf(person, billId, { amountMinor: 600 })
    expect((await world.reserve(hold)).statusCode).toBe(200)
  })

  test('a bill of the largest amount there is can be held whole', async () => {
    const amountMinor = Number.MAX_SAFE_INTEGER
    billId = await pay.newBill(person, amountMinor)
    expect((await world.reserve(holdOf(person, billId, { amountMinor }))).statusCode).toBe(200)
    const more = await world.reserve(holdOf(person, billId, { amountMinor }))
    expect(problem(more)).toMatchObject({ status: 409, code: 'AMOUNT_EXCEEDS_DUE' })
  })
})

describe('a hold is refused with a clear problem and no effect', () => {
  const other = newId('usr')
  test.each([
    [
      'more than is due',
      { amountMinor: 1_001 },
      409,
      'AMOUNT_EXCEEDS_DUE',
      /^1000 NGN .* can still/,
    ],
    [
      'the largest amount',
      { amountMinor: Number.MAX_SAFE_INTEGER },
      409,
      'AMOUNT_EXCEEDS_DUE',
      /1000/,
    ],
    ['zero', { amountMinor: 0 }, 400, 'VALIDATION_FAILED', /amountMinor/],
    ['a negative amount', { amountMinor: -1 }, 400, 'VALIDATION_FAILED', /amountMinor/],
    ['a fraction', { amountMinor: 0.5 }, 400, 'VALIDATION_FAILED', /amountMinor/],
    ['an overflow', { amountMinor: 2 ** 53 }, 400, 'VALIDATION_FAILED', /amountMinor/],
    ['an amount in text', { amountMinor: '100' }, 400, 'VALIDATION_FAILED', /amountMinor/],
    ['another currency', { currency: 'USD' }, 409, 'CURRENCY_MISMATCH', /in NGN, not USD/],
    ['no such currency', { currency: 'EUR' }, 400, 'VALIDATION_FAILED', /currency/],
    ["someone else's bill", { userId: other }, 404, 'NOT_FOUND', /no such bill/],
    ['a bill that does not exist', { billId: newId('bil') }, 404, 'NOT_FOUND', /no such bill/],
    ['no such coupon', { couponCode: 'NOPE' }, 409, 'COUPON_REFUSED', /no such coupon/],
    ['a field too many', { discountMinor: 999 }, 400, 'VALIDATION_FAILED', /discountMinor/],
  ])('%s', async (_what, changes, status, code, detail) => {
    const hold = holdOf(person, billId)
    const reply = await world.reserve({ ...hold, ...changes })
    expect(problem(reply)).toEqual({
      status,
      code,
      detail: expect.stringMatching(detail) as string,
    })
    expect(await held()).toBe(0)
    // the payment's id is as free as the amount
    expect((await world.reserve(hold)).statusCode).toBe(200)
  })

  test.each([
    ['a draft', { lifecycle: 'draft', issuedAt: null }, 404, 'NOT_FOUND'],
    ['a void bill', { lifecycle: 'void' }, 409, 'BILL_NOT_PAYABLE'],
    ['a paid bill', { paidMinor: 1_000 }, 409, 'BILL_NOT_PAYABLE'],
  ] as const)('%s', async (_what, changes, status, code) => {
    billId = await pay.newBill(person, 1_000, changes)
    const reply = await world.reserve(holdOf(person, billId))
    expect(problem(reply)).toMatchObject({ status, code })
    expect(await held()).toBe(0)
  })

  test('callers other than the payment service', async () => {
    const hold = holdOf(person, billId)
    const keys = readSigningKeys(generateSigningKey())
    const principal = { userId: person.userId, roles: ['operator'], tokenId: newId('tok') }
    const tokens = {
      person: world.gateway.tokenFor(principal, 'billing'),
      forged: serviceTokens({ keys, service: 'payment' }).tokenFor('billing'),
      elsewhere: world.payment.tokenFor('user'),
    }
    expect((await world.reserve(hold, { token: tokens.person })).statusCode).toBe(403)
    expect((await world.reserve(hold, { token: tokens.forged })).statusCode).toBe(401)
    expect((await world.reserve(hold, { token: tokens.elsewhere })).statusCode).toBe(401)
    const none = await world.app.inject({ method: 'POST', url: '/reservations', payload: hold })
    expect(none.statusCode).toBe(401)
    expect(await held()).toBe(0)
  })

  test('a payment that ended before its hold arrived', async () => {
    const hold = holdOf(person, billId)
    await pay.learn('payment.canceled', outcomeOf(hold).ended)
    const late = await world.reserve(hold)
    expect(problem(late)).toMatchObject({ status: 409, code: 'PAYMENT_STATE_CONFLICT' })
    expect(await held()).toBe(0)
  })

  test('a payment that was held and released', async () => {
    const hold = holdOf(person, billId)
    await world.reserve(hold)
    await pay.learn('payment.failed', outcomeOf(hold).ended)
    const late = await world.reserve(hold)
    expect(problem(late)).toMatchObject({ status: 409, code: 'PAYMENT_STATE_CONFLICT' })
    expect(await held()).toBe(0)
  })

  test('whichever comes first, a hold and its end at once leave nothing held', async () => {
    const couponCode = await pay.addCoupon()
    const statuses = await Promise.all(
      upTo(40).map(async () => {
        const hold = holdOf(person, billId, { amountMinor: 10, couponCode })
        const [reply] = await Promise.all([
          pay.reserve(hold),
          pay.learn('payment.canceled', outcomeOf(hold).ended),
        ])
        return reply.statusCode
      }),
    )
    expect(statuses.every((status) => status === 200 || status === 409)).toBe(true)
    expect(await held()).toBe(0)
    await pay.expectSound([person])
  })

  test('an end that arrives while its hold is being made waits for it, and releases it', async () => {
    const hold = holdOf(person, billId)
    const locked = Promise.withResolvers<void>()
    const free = Promise.withResolvers<void>()
    const lock = world.database.transaction(async (trx) => {
      const bill = trx.selectFrom('bills').select('id').where('id', '=', billId)
      await bill.forNoKeyUpdate().execute()
      locked.resolve()
      await free.promise
    })
    // asked by the role of the service, for others do not see what it waits for
    const waiting = async (count: number) => {
      const { rows } = await sql<{ count: number }>`
        select count(*)::int as count from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(
        world.database.kysely,
      )
      expect(rows).toEqual([{ count }])
    }
    await locked.promise
    // injected requests begin when somebody waits for them
    const reply = Promise.resolve(world.reserve(hold))
    let end: Promise<void> | undefined
    try {
      await eventually(() => waiting(1), { everyMs: 5, withinMs: 1_000 })
      end = pay.learn('payment.canceled', outcomeOf(hold).ended)
      await eventually(() => waiting(2), { everyMs: 5, withinMs: 1_000 })
    } finally {
      free.resolve()
      await Promise.all([lock, end])
    }
    expect((await reply).statusCode).toBe(200)
    expect(await held()).toBe(0)
    expect((await world.reserve(hold)).statusCode).toBe(409)
  })

  test('past the deadline nothing is held, and the same payment can try again', async () => {
    const hold = holdOf(person, billId)
    const locked = Promise.withResolvers<void>()
    const tried = Promise.withResolvers<void>()
    const lock = world.database.transaction(async (trx) => {
      await trx.selectFrom('bills').select('id').where('id', '=', billId).forUpdate().execute()
      locked.resolve()
      await tried.promise
    })
    await locked.promise
    const reply = await world.reserve(hold, { 'x-deadline-ms': '200' })
    tried.resolve()
    await lock
    expect(reply.statusCode).toBe(504)
    expect(await held()).toBe(0)
    expect((await world.reserve(hold)).statusCode).toBe(200)
  })
})

describe('the database itself', () => {
  test.each([
    [
      'more held than is due',
      'update bills set reserved_minor = total_minor - paid_minor + 1',
      'reserved_and_paid',
    ],
    ['less than nothing held', 'update bills set reserved_minor = -1', 'amount_minor_range'],
    [
      'holds on a withdrawn bill',
      `update bills set reserved_minor = 1, lifecycle = 'void'`,
      'reserved_only_when_issued',
    ],
    [
      'a discount of everything',
      'update reservations set discount_minor = amount_minor, coupon_id = 1',
      'discount_leaves_a_charge',
    ],
    [
      'a discount without a coupon',
      'update reservations set discount_minor = 1',
      'discount_by_coupon',
    ],
    [
      'a refund of what is not paid',
      'update reservations set refunded_minor = 1',
      'refunded_at_most_charged',
    ],
    ['an end at no time', `update reservations set state = 'committed'`, 'ended_unless_reserved'],
    ['a hold of nothing', `update reservations set bill_id = null`, 'held_or_mark'],
    [
      'a second reservation of a payment',
      `insert into reservations (payment_id, state, ended_at) select payment_id, 'released', now() from reservations`,
      'reservations_pkey',
    ],
  ])('refuses %s', async (_what, statement, reason) => {
    await world.reserve(holdOf(person, billId, { amountMinor: 1 }))
    await expect(world.postgres.query(statement)).rejects.toThrow(reason)
  })
})

describe('no decision about money reads a cache', () => {
  test('what is cached of a bill decides nothing', async () => {
    await untilHit(() => person.get(`/bills/${billId}`))
    await world.postgres.query('update bills set paid_minor = 900 where id = $1', [billId])
    const cached = await person.get(`/bills/${billId}`)
    expect(cached.json()).toMatchObject({ paidMinor: 0 })
    const reply = await world.reserve(holdOf(person, billId))
    expect(problem(reply)).toMatchObject({ status: 409, code: 'AMOUNT_EXCEEDS_DUE' })
    const fits = await world.reserve(holdOf(person, billId, { amountMinor: 100 }))
    expect(fits.statusCode).toBe(200)
  })

  test('nothing in reservations and coupons imports the cache', () => {
    const directory = new URL('../src/', import.meta.url)
    const files = globSync('{reservations,coupons}/*.ts', { cwd: directory.pathname })
    expect(files.length).toBeGreaterThan(5)
    for (const file of files) {
      const imports = readFileSync(new URL(file, directory), 'utf8').match(/from '.*'/g) ?? []
      expect(imports.join('\n')).not.toMatch(/cache/)
    }
  })

  test('without Redis holds are decided as always', async () => {
    await world.redisServer.kill()
    try {
      const replies = await Promise.all([1, 2].map(() => world.reserve(holdOf(person, billId))))
      expect(replies.map((reply) => reply.statusCode).toSorted()).toEqual([200, 409])
    } finally {
      await world.redisServer.restart()
    }
  })
})

describe('connections that are lost in the middle', () => {
  test('leave a hold whole or none, and the repetition finds out which', async () => {
    const couponCode = await pay.addCoupon({ use_limit: 15 })
    const billIds = await Promise.all(upTo(10).map(() => pay.newBill(person)))
    const holds = billIds.flatMap((id) =>
      upTo(5).map(() => holdOf(person, id, { amountMinor: 200, couponCode })),
    )
    let cuts = 0
    let interruptions = 0
    const isDone = new AbortController()
    const cutting = (async () => {
      while (!isDone.signal.aborted && cuts < 30) {
        await world.postgres.disconnectAll()
        cuts += 1
      }
    })()
    const outcomes = await Promise.all(
      holds.map(async (hold) => {
        for (;;) {
          const reply = await world.reserve(hold)
          if (reply.statusCode < 500) return reply.statusCode
          interruptions += 1
        }
      }),
    )
    isDone.abort()
    await cutting
    expect(outcomes.filter((status) => status === 200)).toHaveLength(15)
    expect(interruptions).toBeGreaterThan(0)
    await pay.expectSound([person])
  }, 60_000)
})
