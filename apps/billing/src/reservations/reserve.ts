import { AppError, type Id, type Reservation } from '@wattle/contracts'
import { isUniqueViolation, type Queries } from '@wattle/database'
import type { Transaction } from 'kysely'
import { notTheFirst } from '../coupons/coupon-rules.ts'
import { findCoupon, useCoupon } from '../coupons/coupon-store.ts'
import type { DB } from '../schema.ts'
import { amountsOf, holdAmount, refusalOf } from './bill-amounts.ts'
import { reservationStore, type Hold, type ReservationRow } from './reservation-store.ts'

/*
 * Holding an amount of a bill for a payment
 * =========================================
 *
 * A payment asks billing to hold its amount before it charges anybody; events tell later what became of it. The same
 * request may come twice, at once, or long after its payment ended (from a process that was frozen); events come at
 * least once. What holds all the same, and by what:
 *
 *  1. paid + held <= total. One UPDATE of the bill's row both asks and takes; a CHECK says the same.
 *  2. One hold per payment, for ever. The payment's id is the reservation's primary key, and is claimed first: a second
 *     request waits there for the first one's outcome, and then repeats its answer.
 *  3. A hold ends once: `reserved` to `committed` or `released`, never back.
 *  4. No hold outlives its payment. A payment that ends without success says so, whether or not it ever held anything;
 *     of one that did not, a mark stays (a reservation released from the start), so a hold that comes later is refused.
 *  5. A coupon is used exactly as often as reservations with it are not released: its counts change in the same
 *     transactions, and each count is one conditional statement.
 *
 * Rows are locked in one order everywhere, so nothing deadlocks: the reservation and what is unique of it, bill, coupon,
 * the person's use of it.
 * A crash at any point leaves a transaction that never was.
 */

/** Between a refusal and the look for its reason, other payments may come and go. */
const maxAttempts = 5

/**
 * Holds the amount, and uses the coupon, or neither; the same payment gets the same answer.
 *
 * @throws AppError NOT_FOUND, BILL_NOT_PAYABLE, CURRENCY_MISMATCH, AMOUNT_EXCEEDS_DUE, COUPON_REFUSED;
 * PAYMENT_STATE_CONFLICT when the payment ended already, or holds something else.
 */
export async function reserve(
  database: Pick<Queries<DB>, 'transaction'>,
  hold: Hold,
  now: Date,
): Promise<Reservation> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await database.transaction((trx) => reserveIn(trx, hold, now))
    } catch (error) {
      if (!isUniqueViolation(error, 'one_first_payment')) throw error
      // It lost against another first payment, or against this one asked for twice: committed by now, so a second look
      // tells which.
      if (attempt === maxAttempts) throw notTheFirst(error)
    }
  }
}

async function reserveIn(trx: Transaction<DB>, hold: Hold, now: Date): Promise<Reservation> {
  const store = reservationStore(trx)
  const known = await store.byId(hold.paymentId)
  if (known) return repeat(trx, known, hold)
  const bill = await amountsOf(trx, hold)
  // Its amounts decide nothing yet: they may hold this very payment, by a request that came first.
  if (!bill) throw refusalOf(bill, hold)
  const { couponCode: code, ...about } = hold
  const use = { ...about, providerId: bill.provider_id, now }
  const coupon = code === undefined ? undefined : await findCoupon(trx, { ...use, code })

  if (!(await store.claim(hold, coupon?.first_payment_only ?? false))) {
    const first = await store.byId(hold.paymentId)
    if (!first) throw new Error(`the reservation of ${hold.paymentId} is gone`)
    return repeat(trx, first, hold)
  }
  const providerId = await holdOrSayWhy(trx, hold)
  const discountMinor = coupon ? await useCoupon(trx, coupon.id, use) : 0
  return view(hold, { providerId, discountMinor, state: 'reserved' })
}

async function holdOrSayWhy(trx: Transaction<DB>, hold: Hold): Promise<string> {
  for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
    const providerId = await holdAmount(trx, hold)
    if (providerId !== undefined) return providerId
    const refusal = refusalOf(await amountsOf(trx, hold), hold)
    if (refusal) throw refusal
  }
  throw new AppError('UNAVAILABLE', 'Too many payments of this bill at once; try again.', {
    retryAfterSeconds: 1,
  })
}

/** The first answer again, with what has become of the hold. */
async function repeat(trx: Transaction<DB>, row: ReservationRow, hold: Hold): Promise<Reservation> {
  if (row.state === 'released') {
    throw new AppError('PAYMENT_STATE_CONFLICT', 'This payment has ended; it can hold nothing.')
  }
  const isSame =
    row.bill_id === hold.billId &&
    row.user_id === hold.userId &&
    row.currency === hold.currency &&
    row.amount_minor === hold.amountMinor &&
    row.coupon_code === (hold.couponCode ?? null)
  const bill = isSame ? await amountsOf(trx, hold) : undefined
  if (!bill) {
    throw new AppError('PAYMENT_STATE_CONFLICT', 'This payment holds something else already.')
  }
  const { discount_minor: discountMinor, state } = row
  return view(hold, { providerId: bill.provider_id, discountMinor: discountMinor ?? 0, state })
}

function view(
  { paymentId, billId, currency, amountMinor }: Hold,
  decided: Pick<Reservation, 'discountMinor' | 'state'> & { providerId: string },
): Reservation {
  return {
    paymentId: paymentId as Id<'pay'>,
    billId: billId as Id<'bil'>,
    currency,
    amountMinor,
    ...decided,
    providerId: decided.providerId as Id<'prv'>,
    chargeMinor: amountMinor - decided.discountMinor,
  }
}
