import {
  newId,
  type Currency,
  type EventPayload,
  type EventType,
  type Id,
  type Reservation,
  type WattleEvent,
} from '@wattle/contracts'
import type { EventHandler } from '@wattle/events'
import { expect } from 'vitest'
import type { BillerBill } from '../src/biller.ts'
import { addCoupons, type NewCoupon } from '../src/coupons/coupon-store.ts'
import { paymentEvents } from '../src/reservations/payment-events.ts'
import type { DB } from '../src/schema.ts'
import { account, bill } from './fixtures.ts'
import type { BillingWorld, Person } from './world.ts'

export type Outcome = Exclude<EventType, 'payment.refunded'>
export type ReserveBody = {
  paymentId: Id<'pay'>
  userId: Id<'usr'>
  billId: Id<'bil'>
  currency: Currency
  amountMinor: number
  couponCode?: string
}

/** What tests of payments do in a world, in short words. */
export function paying(world: BillingWorld) {
  const { database, postgres } = world

  /** A person's bill of `totalMinor`, in an account of its own; returns its id. */
  async function newBill(
    { userId }: Pick<Person, 'userId'>,
    totalMinor = 1_000,
    changes: Partial<BillerBill> = {},
    utility: 'electricity' | 'water' = 'electricity',
  ): Promise<Id<'bil'>> {
    const lines = [{ kind: 'usage' as const, description: 'Energy', amountMinor: totalMinor }]
    const { customerNumber } = await account(
      database,
      { userId },
      [bill('2026-10-01', { lines, ...changes })],
      { utility },
    )
    const { id } = await database.kysely
      .selectFrom('bills')
      .select('id')
      .where('customer_number', '=', customerNumber)
      .executeTakeFirstOrThrow()
    return id as Id<'bil'>
  }

  async function addCoupon(coupon: Partial<NewCoupon> = {}): Promise<string> {
    const code = coupon.code ?? `C${newId('tok').slice(-12)}`
    const terms = coupon.off_minor === undefined ? { percent_bp: 1_000 } : {}
    await addCoupons(database.kysely, [{ ...terms, ...coupon, code }])
    return code
  }

  /** Runs the handler of an event as the consumer does, in a transaction. */
  async function learn<T extends keyof typeof paymentEvents>(
    type: T,
    payload: EventPayload<T>,
  ): Promise<void> {
    const handler = paymentEvents[type] as EventHandler<DB, T>
    await database.transaction((trx) => handler({ type, payload } as WattleEvent<T>, trx))
  }

  /** Asks as the payment service does: who gets no answer, as from a machine that is too busy, asks again. */
  async function reserve(hold: ReserveBody) {
    for (;;) {
      const reply = await world.reserve(hold)
      if (reply.statusCode < 500) return reply
    }
  }

  const amountsOf = async (billId: string) => {
    const [row] = await postgres.query(
      'select paid_minor::float, reserved_minor::float, total_minor::float from bills where id = $1',
      [billId],
    )
    return {
      paid: Number(row?.['paid_minor']),
      reserved: Number(row?.['reserved_minor']),
      total: Number(row?.['total_minor']),
    }
  }

  /**
   * What must hold at any moment of calm: the sums of these people's bills, which began unpaid, and the counts of all
   * coupons are those of the reservations.
   */
  async function expectSound(people: readonly Pick<Person, 'userId'>[]): Promise<void> {
    const wrongBills = await postgres.query(
      `select id, paid_minor, reserved_minor, held, paid from bills, lateral (
         select coalesce(sum(amount_minor) filter (where state = 'reserved'), 0) as held,
                coalesce(sum(amount_minor - refunded_minor) filter (where state = 'committed'), 0) as paid
         from reservations where bill_id = bills.id) as sums
       where user_id = any ($1) and (reserved_minor <> held or paid_minor <> paid)`,
      [people.map(({ userId }) => userId)],
    )
    expect(wrongBills).toEqual([])
    const wrongCoupons = await postgres.query(
      `select code, uses, use_limit, used from coupons, lateral (
         select count(*) as used from reservations where coupon_id = coupons.id and state <> 'released') as counts
       where uses <> used or uses > use_limit`,
    )
    expect(wrongCoupons).toEqual([])
    const wrongUsers = await postgres.query(
      `select coupon_users.*, used from coupon_users join coupons on coupons.id = coupon_id, lateral (
         select count(*) as used from reservations
         where coupon_id = coupons.id and user_id = coupon_users.user_id and state <> 'released') as counts
       where coupon_users.uses <> used or coupon_users.uses > user_limit`,
    )
    expect(wrongUsers).toEqual([])
  }

  return { newBill, addCoupon, reserve, learn, amountsOf, expectSound }
}

export function holdOf(
  { userId }: Pick<Person, 'userId'>,
  billId: Id<'bil'>,
  changes: Partial<ReserveBody> = {},
): ReserveBody {
  return {
    paymentId: newId('pay'),
    userId,
    billId,
    currency: 'NGN',
    amountMinor: 1_000,
    ...changes,
  }
}

/** The payload of the event that tells how a payment with this hold ended. */
export function outcomeOf(hold: ReserveBody, discountMinor = 0) {
  const { couponCode: _, ...about } = hold
  const chargedMinor = hold.amountMinor - discountMinor
  return {
    succeeded: { ...about, discountMinor, chargedMinor },
    ended: { ...about, reason: 'declined' },
    refunded: (refundedMinor = chargedMinor) => ({
      ...about,
      refundId: newId('ref'),
      refundedMinor,
    }),
  }
}

export const reservation = (reply: { json(): unknown }) => reply.json() as Reservation
export const problem = (reply: { statusCode: number; json(): unknown }) => {
  const { code, detail } = reply.json() as { code: string; detail: string }
  return { status: reply.statusCode, code, detail }
}
export const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)
