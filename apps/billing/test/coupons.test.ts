import { newId, type Id } from '@wattle/contracts'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { addCoupons, type NewCoupon } from '../src/coupons/coupon-store.ts'
import { demoCoupons } from '../src/coupons/demo-coupons.ts'
import {
  holdOf,
  outcomeOf,
  paying,
  problem,
  reservation,
  upTo,
  type ReserveBody,
} from './paying.ts'
import { startBilling, startMs, type BillingWorld, type Person } from './world.ts'

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

const at = (offsetMs: number) => new Date(startMs + offsetMs).toISOString()
const refused = (detail: unknown) => ({ status: 409, code: 'COUPON_REFUSED', detail })
/** New people, each with a bill of 1,000, and what they want to hold of it with this coupon. */
const crowd = (count: number, couponCode: string): Promise<ReserveBody[]> =>
  Promise.all(
    upTo(count).map(async () => {
      const one = world.person()
      return holdOf(one, await pay.newBill(one), { couponCode })
    }),
  )
const reserveAll = async (holds: readonly ReserveBody[]) => {
  const replies = await Promise.all(holds.map((hold) => pay.reserve(hold)))
  const unexpected = replies.filter(
    (reply) => reply.statusCode !== 200 && problem(reply).code !== 'COUPON_REFUSED',
  )
  expect(unexpected.map((reply) => reply.body)).toEqual([])
  return holds.filter((_, index) => replies[index]?.statusCode === 200)
}
const uses = async (code: string) => {
  const rows = await world.postgres.query('select uses from coupons where code = $1', [code])
  return rows[0]?.['uses']
}

describe('what a coupon takes off', () => {
  const large = Number.MAX_SAFE_INTEGER - 7
  test.each([
    ['ten per cent', { percent_bp: 1_000 }, 1_000, 100],
    ['parts of a unit are rounded down', { percent_bp: 1_250 }, 999, 124],
    ['a fixed amount', { off_minor: 250, currency: 'NGN' }, 1_000, 250],
    [
      'a fixed amount above the payment leaves one unit',
      { off_minor: 5_000, currency: 'NGN' },
      1_000,
      999,
    ],
    ['a hundred per cent leaves one unit', { percent_bp: 10_000 }, 1_000, 999],
    [
      'a third of an amount near the largest is exact',
      { percent_bp: 3_333 },
      large,
      3_002_099_511_605_169,
    ],
  ] as const)('%s', async (_what, terms, amountMinor, discountMinor) => {
    billId = await pay.newBill(person, amountMinor)
    const code = await pay.addCoupon(terms)
    const preview = await person.preview({ code, billId })
    expect([preview.statusCode, preview.json()]).toEqual([
      200,
      {
        code,
        currency: 'NGN',
        amountMinor,
        discountMinor,
        chargeMinor: amountMinor - discountMinor,
      },
    ])
    const reply = await world.reserve(holdOf(person, billId, { amountMinor, couponCode: code }))
    expect(reservation(reply)).toMatchObject({
      amountMinor,
      discountMinor,
      chargeMinor: amountMinor - discountMinor,
    })
  })

  test('counts for the payment, not for the bill', async () => {
    const code = await pay.addCoupon()
    const preview = await person.preview({ code, billId, amountMinor: 300 })
    expect(preview.json()).toMatchObject({ amountMinor: 300, discountMinor: 30, chargeMinor: 270 })
  })

  test('in whatever spelling the code is typed; the answer has that of its issuer', async () => {
    const code = await pay.addCoupon({ code: 'Straße-2026' })
    for (const typed of ['STRASSE 2026', 'straße2026', ' Ｓtraße‑2026 ']) {
      const preview = await person.preview({ code: typed, billId })
      expect([preview.statusCode, preview.json()]).toMatchObject([200, { code }])
    }
    const couponCode = 'STRASSE 2026'
    expect((await world.reserve(holdOf(person, billId, { couponCode }))).statusCode).toBe(200)
    expect(await uses(code)).toBe(1)
  })
})

describe('a coupon is refused, in the preview and for a payment, with the reason and no effect', () => {
  const cases: [string, Partial<NewCoupon>, RegExp][] = [
    [
      'one that was withdrawn, like one that never was',
      { active: false },
      /^There is no such coupon\.$/,
    ],
    [
      'one that is not valid yet',
      { valid_from: at(1) },
      /is valid from 2026-11-20T11:00:00.001Z on/,
    ],
    ['one that is no longer valid', { valid_until: at(0) }, /no longer valid/],
    ['one in another currency', { off_minor: 10, currency: 'USD' }, /for bills in USD/],
    ['one for other providers', { provider_ids: [newId('prv')] }, /not for bills of this provider/],
    ['one for larger payments', { minimum_minor: 1_001, currency: 'NGN' }, /at least 1001 NGN/],
    ['one that would take nothing off', { percent_bp: 9 }, /takes nothing off/],
  ]
  test.each(cases)('%s', async (_what, terms, reason) => {
    const code = await pay.addCoupon(terms)
    const answer = refused(expect.stringMatching(reason))
    expect(problem(await person.preview({ code, billId }))).toEqual(answer)
    const reply = await world.reserve(holdOf(person, billId, { couponCode: code }))
    expect(problem(reply)).toEqual(answer)
    expect([await uses(code), await pay.amountsOf(billId)]).toMatchObject([0, { reserved: 0 }])
  })

  test.each([
    ['from its first moment', { valid_from: at(0) }],
    ['until just before its last', { valid_until: at(1) }],
    ['at its minimum', { minimum_minor: 1_000, currency: 'NGN' }],
  ] as [string, Partial<NewCoupon>][])('but not %s', async (_what, terms) => {
    const code = await pay.addCoupon(terms)
    expect((await world.reserve(holdOf(person, billId, { couponCode: code }))).statusCode).toBe(200)
  })

  test('one for certain providers is taken for their bills', async () => {
    const water = await pay.newBill(person, 1_000, {}, 'water')
    const { providerId } = (await person.get(`/bills/${water}`)).json<{ providerId: string }>()
    const code = await pay.addCoupon({ provider_ids: [providerId, newId('prv')] })
    expect((await person.preview({ code, billId: water })).statusCode).toBe(200)
    expect((await person.preview({ code, billId })).statusCode).toBe(409)
  })

  test.each(['---', '\u200b', `' or true --`])('the code %j', async (code) => {
    expect(problem(await person.preview({ code, billId }))).toEqual(
      refused('There is no such coupon.'),
    )
  })
})

describe('the preview', () => {
  test('holds nothing, however often it is asked', async () => {
    const code = await pay.addCoupon({ use_limit: 1, user_limit: 1 })
    for (const _ of upTo(5)) {
      expect((await person.preview({ code, billId })).statusCode).toBe(200)
    }
    expect([await uses(code), await pay.amountsOf(billId)]).toMatchObject([0, { reserved: 0 }])
  })

  test('tells what a payment would be told of limits', async () => {
    const [once, perUser, first] = await Promise.all([
      pay.addCoupon({ use_limit: 1 }),
      pay.addCoupon({ user_limit: 1 }),
      pay.addCoupon({ first_payment_only: true }),
    ])
    for (const couponCode of [once, perUser]) {
      await world.reserve(holdOf(person, billId, { couponCode, amountMinor: 100 }))
    }
    const details = await Promise.all(
      [once, perUser, first].map(
        async (code) => problem(await person.preview({ code, billId })).detail,
      ),
    )
    expect(details).toEqual([
      'This coupon has been used up.',
      'You have used this coupon as often as it allows.',
      'This coupon is for a first payment; you have made or begun one.',
    ])
    const other = world.person()
    const otherBill = await pay.newBill(other)
    expect((await other.preview({ code: perUser, billId: otherBill })).statusCode).toBe(200)
  })

  test('is about what is neither paid nor held', async () => {
    const code = await pay.addCoupon()
    await world.reserve(holdOf(person, billId, { amountMinor: 400 }))
    expect((await person.preview({ code, billId })).json()).toMatchObject({ amountMinor: 600 })
    const more = await person.preview({ code, billId, amountMinor: 601 })
    expect(problem(more)).toMatchObject({ status: 409, code: 'AMOUNT_EXCEEDS_DUE' })
    await world.reserve(holdOf(person, billId, { amountMinor: 600 }))
    const nothing = await person.preview({ code, billId })
    expect(problem(nothing)).toMatchObject({ status: 409, code: 'AMOUNT_EXCEEDS_DUE' })
  })

  test("of a paid bill is a 409, of someone else's a 404, without a token a 401", async () => {
    const code = await pay.addCoupon()
    const paid = await pay.newBill(person, 1_000, { paidMinor: 1_000 })
    expect(problem(await person.preview({ code, billId: paid }))).toMatchObject({
      status: 409,
      code: 'BILL_NOT_PAYABLE',
    })
    const [foreign, absent] = await Promise.all(
      [billId, newId('bil')].map((id) => world.person().preview({ code, billId: id })),
    )
    expect(problem(foreign!)).toMatchObject({ status: 404, code: 'NOT_FOUND' })
    expect(problem(absent!)).toEqual(problem(foreign!))
    const payload = { code, billId }
    const nobody = await world.app.inject({ method: 'POST', url: '/coupons/preview', payload })
    expect(nobody.statusCode).toBe(401)
    const asService = await world.app.inject({
      method: 'POST',
      url: '/coupons/preview',
      payload,
      headers: { authorization: `Bearer ${world.payment.tokenFor('billing')}` },
    })
    expect(asService.statusCode).toBe(403)
  })

  test.each([
    ['code', { code: '' }],
    ['code', { code: 'x'.repeat(65) }],
    ['code', { code: 'a\u0000b' }],
    ['amountMinor', { amountMinor: 0 }],
    ['amountMinor', { amountMinor: 1.5 }],
    ['billId', { billId: 'bil_1' }],
    ['userId', { userId: newId('usr') }],
  ])('with a bad %s is a 400 that names it', async (field, change) => {
    const reply = await person.preview({ code: 'X', billId, ...change })
    expect(reply.statusCode).toBe(400)
    expect(reply.json()).toMatchObject({ errors: [{ in: 'body', field }] })
  })
})

describe('limits hold whatever happens at once', () => {
  test('200 people at once, 10 left: exactly 10 get it, and nothing stays held for the others', async () => {
    const code = await pay.addCoupon({ use_limit: 10 })
    const holds = await crowd(200, code)
    const lucky = await reserveAll(holds)
    expect([lucky.length, await uses(code)]).toEqual([10, 10])
    await pay.expectSound(holds)

    // three payments fail: three others get it, and no more
    const failed = lucky.slice(0, 3)
    await Promise.all(failed.map((hold) => pay.learn('payment.failed', outcomeOf(hold).ended)))
    const others = await reserveAll(await crowd(30, code))
    expect([others.length, await uses(code)]).toEqual([3, 10])
    // what was paid stays used
    const paid = [...lucky.slice(3), ...others]
    await Promise.all(
      paid.map((hold) => pay.learn('payment.succeeded', outcomeOf(hold, 100).succeeded)),
    )
    expect([await reserveAll(await crowd(5, code)), await uses(code)]).toEqual([[], 10])
    await pay.expectSound([...holds, ...others])
  })

  test('one person, thirty bills at once, two uses each: exactly two', async () => {
    const code = await pay.addCoupon({ user_limit: 2 })
    const bills = await Promise.all(upTo(30).map(() => pay.newBill(person)))
    const holds = bills.map((id) => holdOf(person, id, { couponCode: code }))
    const lucky = await reserveAll(holds)
    expect([lucky.length, await uses(code)]).toEqual([2, 2])
    await pay.learn('payment.canceled', outcomeOf(lucky[0]!).ended)
    const again = holds.filter((hold) => !lucky.includes(hold))
    expect(await reserveAll(again)).toHaveLength(1)
    await pay.expectSound([person])
  })

  test('one for a first payment, and another, on twenty bills at once: exactly one payment gets one', async () => {
    const codes = await Promise.all([1, 2].map(() => pay.addCoupon({ first_payment_only: true })))
    const bills = await Promise.all(upTo(20).map(() => pay.newBill(person)))
    const holds = bills.map((id, index) => holdOf(person, id, { couponCode: codes[index % 2]! }))
    const [first, ...others] = await reserveAll(holds)
    expect([others, first]).toEqual([[], expect.anything() as unknown])

    // it fails, so another may be the first
    await pay.learn('payment.failed', outcomeOf(first!).ended)
    const next = await reserveAll(holds.filter((hold) => hold !== first))
    expect(next).toHaveLength(1)
    await pay.expectSound([person])
  })

  test('one for a first payment is refused beside or after a payment without a coupon', async () => {
    const couponCode = await pay.addCoupon({ first_payment_only: true })
    const plain = holdOf(person, billId, { amountMinor: 100 })
    await world.reserve(plain)
    const wanted = holdOf(person, billId, { amountMinor: 100, couponCode })
    expect(problem(await world.reserve(wanted))).toEqual(refused(expect.stringMatching('first')))
    await pay.learn('payment.succeeded', outcomeOf(plain).succeeded)
    expect(problem(await world.reserve(wanted))).toEqual(refused(expect.stringMatching('first')))
  })

  test('processes that die in the middle lose no use and invent none', async () => {
    const code = await pay.addCoupon({ use_limit: 10 })
    const holds = await crowd(60, code)
    let interruptions = 0
    const answered = new Set<ReserveBody>()
    // every connection is cut again and again; who got no answer asks again, as the payment service does
    const isDone = new AbortController()
    const cutting = (async () => {
      for (let cuts = 0; cuts < 25 && !isDone.signal.aborted; cuts += 1) {
        await world.postgres.disconnectAll()
      }
    })()
    await Promise.all(
      holds.map(async (hold) => {
        for (;;) {
          const reply = await world.reserve(hold)
          if (reply.statusCode === 200) answered.add(hold)
          if (reply.statusCode < 500) return
          interruptions += 1
        }
      }),
    )
    isDone.abort()
    await cutting
    expect([answered.size, await uses(code)]).toEqual([10, 10])
    expect(interruptions).toBeGreaterThan(0)
    await pay.expectSound(holds)
  }, 60_000)
})

describe('the coupons table', () => {
  test('has one coupon for all spellings of a code; adding it again changes nothing', async () => {
    await addCoupons(world.database.kysely, [{ code: 'Ünïque-1', percent_bp: 100 }])
    await addCoupons(world.database.kysely, [{ code: 'ÜNÏQUE 1', percent_bp: 900 }])
    const rows = await world.postgres.query(
      `select code, percent_bp from coupons where folded_code = $1`,
      ['ünïque1'],
    )
    expect(rows).toEqual([{ code: 'Ünïque-1', percent_bp: 100 }])
  })

  test('takes the demo coupons, as often as they are seeded', async () => {
    await addCoupons(world.database.kysely, demoCoupons)
    await addCoupons(world.database.kysely, demoCoupons)
    expect((await person.preview({ code: 'welcome 10', billId })).statusCode).toBe(200)
  })

  test.each([
    ['neither per cent nor amount', `default, null, null, null`, 'percent_or_amount'],
    ['both', `default, 10, 10, 'NGN'`, 'percent_or_amount'],
    ['more than a hundred per cent', `default, 10001, null, null`, 'percent_range'],
    ['an amount of nothing', `default, null, 0, 'NGN'`, 'takes_something_off'],
    ['an amount without a currency', `default, null, 10, null`, 'amounts_have_a_currency'],
    ['uses over the limit', `2, 10, null, null`, 'uses_within_limit'],
  ])('refuses %s', async (_what, values, reason) => {
    const insert = `insert into coupons (code, folded_code, use_limit, uses, percent_bp, off_minor, currency)
      values ('x', 'x', 1, ${values.replace('default', '0')})`
    await expect(world.postgres.query(insert)).rejects.toThrow(reason)
  })

  test.each(['a-b', 'a b', '', 'e\u0301', 'ﬃ'])('refuses %j as a folded code', async (code) => {
    const insert = `insert into coupons (code, folded_code, percent_bp) values ('x', $1, 10)`
    await expect(world.postgres.query(insert, [code])).rejects.toThrow('folded_code_form')
  })
})
