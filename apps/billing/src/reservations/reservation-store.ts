import { sql, type Selectable, type Transaction } from 'kysely'
import type { Currency, DB } from '../schema.ts'

export type ReservationRow = Selectable<DB['reservations']>

/** What a payment wants to hold. */
export type Hold = {
  readonly paymentId: string
  readonly userId: string
  readonly billId: string
  readonly currency: Currency
  readonly amountMinor: number
  readonly couponCode?: string
}

export type ReservationStore = ReturnType<typeof reservationStore>

/** The SQL of reservations. Changes name the state they start from: one row back, or none and nothing changed. */
export function reservationStore(trx: Transaction<DB>) {
  const change = (paymentId: string, from: 'reserved' | 'committed') =>
    trx
      .updateTable('reservations')
      .where('payment_id', '=', paymentId)
      .where('state', '=', from)
      .returningAll()

  return {
    byId: (paymentId: string): Promise<ReservationRow | undefined> =>
      trx
        .selectFrom('reservations')
        .selectAll()
        .where('payment_id', '=', paymentId)
        .executeTakeFirst(),

    /**
     * Claims the payment's id; false when it has a reservation. Waits for one that is being made, and for another first
     * payment of the person that is being made or released; it may violate `one_first_payment`.
     */
    async claim(hold: Hold, isFirstPayment: boolean): Promise<boolean> {
      const added = await trx
        .insertInto('reservations')
        .values({
          payment_id: hold.paymentId,
          state: 'reserved',
          bill_id: hold.billId,
          user_id: hold.userId,
          currency: hold.currency,
          amount_minor: hold.amountMinor,
          discount_minor: 0,
          coupon_code: hold.couponCode ?? null,
          first_payment: isFirstPayment,
        })
        .onConflict((conflict) => conflict.column('payment_id').doNothing())
        .returning('payment_id')
        .executeTakeFirst()
      return added !== undefined
    },

    /** Notes a payment that ended without a hold; false when it has a reservation. Waits for one that is being made. */
    async mark(paymentId: string): Promise<boolean> {
      const added = await trx
        .insertInto('reservations')
        .values({ payment_id: paymentId, state: 'released', ended_at: sql`now()` })
        .onConflict((conflict) => conflict.column('payment_id').doNothing())
        .returning('payment_id')
        .executeTakeFirst()
      return added !== undefined
    },

    end: (paymentId: string, as: 'committed' | 'released') =>
      change(paymentId, 'reserved')
        .set({ state: as, ended_at: sql`now()` })
        .executeTakeFirst(),

    /** Up to what was charged; a check refuses more. */
    refund: (paymentId: string, minor: number) =>
      change(paymentId, 'committed')
        .set({ refunded_minor: sql`refunded_minor + ${minor}::bigint` })
        .executeTakeFirst(),
  }
}
