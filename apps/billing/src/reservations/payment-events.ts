import type { EventType } from '@wattle/contracts'
import type { EventHandler } from '@wattle/events'
import type { Transaction } from 'kysely'
import { giveBackCoupon } from '../coupons/coupon-store.ts'
import type { DB } from '../schema.ts'
import { endHold, takeBack } from './bill-amounts.ts'
import { reservationStore, type ReservationRow } from './reservation-store.ts'

type Held = ReservationRow & { bill_id: string; user_id: string; amount_minor: number }

/**
 * What the events of payments do to holds, within the transaction that notes the event as handled. An event that
 * contradicts what is stored (a success without a hold, or after its release; a refund above the charge) changes nothing
 * and throws: it ends among the dead letters, for a person to look at. A repetition changes nothing.
 */
export const paymentEvents = {
  async 'payment.succeeded'({ payload }, trx) {
    const { paymentId, billId, currency, amountMinor, discountMinor } = payload
    const store = reservationStore(trx)
    const row = await store.end(paymentId, 'committed')
    if (!row) return expectState(await store.byId(paymentId), 'committed', paymentId)
    const said = [billId, currency, amountMinor, discountMinor]
    const stored = [row.bill_id, row.currency, row.amount_minor, row.discount_minor]
    if (said.join() !== stored.join()) {
      throw new Error(
        `payment ${paymentId} succeeded with ${said.join()}, held is ${stored.join()}`,
      )
    }
    await endHold(trx, { billId, amountMinor, paid: true })
  },

  'payment.failed': ({ payload }, trx) => release(trx, payload.paymentId),
  'payment.canceled': ({ payload }, trx) => release(trx, payload.paymentId),

  /** What the coupon took off stays paid; a refund gives back what was charged. The coupon stays used. */
  async 'payment.refunded'({ payload }, trx) {
    const { paymentId, refundedMinor } = payload
    const row = await reservationStore(trx).refund(paymentId, refundedMinor)
    if (!isHeld(row)) throw new Error(`refund of payment ${paymentId}, which has paid nothing here`)
    await takeBack(trx, { billId: row.bill_id, refundedMinor })
  },
} as const satisfies { [T in EventType]?: EventHandler<DB, T> }

/** Frees what the payment holds; where it never held anything, a mark keeps it from doing so later. */
async function release(trx: Transaction<DB>, paymentId: string): Promise<void> {
  const store = reservationStore(trx)
  let row = await store.end(paymentId, 'released')
  if (!row) {
    if (await store.mark(paymentId)) return
    // The hold may have come between the two statements.
    row = await store.end(paymentId, 'released')
  }
  if (!row) return expectState(await store.byId(paymentId), 'released', paymentId)
  if (!isHeld(row)) throw new Error(`the reservation of payment ${paymentId} has no bill`)
  const { bill_id: billId, user_id: userId, amount_minor: amountMinor, coupon_id: couponId } = row
  await endHold(trx, { billId, amountMinor, paid: false })
  if (couponId !== null) await giveBackCoupon(trx, { couponId, userId })
}

function expectState(
  row: ReservationRow | undefined,
  expected: ReservationRow['state'],
  paymentId: string,
): void {
  if (row?.state === expected) return
  const found = row ? `is ${row.state}` : 'does not exist'
  throw new Error(`the reservation of payment ${paymentId} cannot be ${expected}: it ${found}`)
}

function isHeld(row: ReservationRow | undefined): row is Held {
  return row !== undefined && row.bill_id !== null
}
