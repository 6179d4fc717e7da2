import type { Payment, Reservation } from '@wattle/contracts'
import { sql, type Kysely, type Selectable } from 'kysely'
import type { DB, PaymentState } from '../schema.ts'

export type PaymentRow = Selectable<DB['payments']>

export type NewPayment = {
  readonly id: string
  readonly userId: string
  readonly billId: string
  readonly currency: Payment['currency']
  readonly amountMinor: number
  readonly instrument: string
  readonly couponCode: string | undefined
  readonly correlationId: string
}

/** A time of the database's clock, which all copies of the service share. */
export const fromNow = (ms: number) =>
  sql<Date>`now() + ${ms}::double precision * interval '1 millisecond'`

export const unsettled = ['processing', 'unknown'] as const satisfies PaymentState[]

/**
 * The SQL of payments. Every change names in its WHERE the state that it starts from, and returns the row, or nothing
 * when the payment is not in that state (any more): of two that try, one gets the row.
 */
export function paymentStore(db: Kysely<DB>) {
  const change = (id: string) => db.updateTable('payments').where('id', '=', id).returningAll()

  return {
    byId: (id: string): Promise<PaymentRow | undefined> =>
      db.selectFrom('payments').selectAll().where('id', '=', id).executeTakeFirst(),

    /** As its payer may see it: theirs, and held by billing. */
    shown: (id: string, userId: string): Promise<PaymentRow | undefined> =>
      db
        .selectFrom('payments')
        .selectAll()
        .where('id', '=', id)
        .where('user_id', '=', userId)
        .where('reservation', '=', 'reserved')
        .executeTakeFirst(),

    async insert(payment: NewPayment, abandonedAfterMs: number): Promise<void> {
      await db
        .insertInto('payments')
        .values({
          id: payment.id,
          user_id: payment.userId,
          bill_id: payment.billId,
          currency: payment.currency,
          amount_minor: payment.amountMinor,
          instrument: payment.instrument,
          coupon_code: payment.couponCode ?? null,
          correlation_id: payment.correlationId,
          next_attempt_at: fromNow(abandonedAfterMs),
        })
        .execute()
    },

    hold: (
      id: string,
      { providerId, discountMinor }: Pick<Reservation, 'providerId' | 'discountMinor'>,
      confirmWithinMs: number,
    ) =>
      change(id)
        .set({
          reservation: 'reserved',
          provider_id: providerId,
          discount_minor: discountMinor,
          next_attempt_at: fromNow(confirmWithinMs),
          attempts: 0,
        })
        .where('reservation', '=', 'pending')
        .where('state', '=', 'requires_confirmation')
        .executeTakeFirst(),

    /** Ends it before anything was charged. */
    cancel: (
      id: string,
      from: PaymentRow['reservation'],
      to: PaymentRow['reservation'],
      reason: string,
    ) =>
      change(id)
        .set({
          state: 'canceled',
          reservation: to,
          failure_reason: reason,
          next_attempt_at: null,
        })
        .where('reservation', '=', from)
        .where('state', '=', 'requires_confirmation')
        .executeTakeFirst(),

    startCharge: (id: string, userId: string, askAfterMs: number) =>
      change(id)
        .set({
          state: 'processing',
          confirmed_at: sql<Date>`now()`,
          next_attempt_at: fromNow(askAfterMs),
          attempts: 0,
        })
        .where('user_id', '=', userId)
        .where('reservation', '=', 'reserved')
        .where('state', '=', 'requires_confirmation')
        .executeTakeFirst(),

    /** Nobody knows what became of the charge; ask again at that time. */
    unclear: (id: string, askInMs: number) =>
      change(id)
        .set({ state: 'unknown', next_attempt_at: fromNow(askInMs) })
        .where('state', 'in', unsettled)
        .executeTakeFirst(),

    /** It is known to be under way; ask again at that time. */
    postpone: (id: string, askInMs: number) =>
      change(id)
        .set({ next_attempt_at: fromNow(askInMs) })
        .where('state', 'in', unsettled)
        .executeTakeFirst(),

    succeed: (id: string, taken: { currency: Payment['currency']; amountMinor: number }) =>
      change(id)
        .set({ state: 'succeeded', next_attempt_at: null })
        .where('state', 'in', unsettled)
        .where('currency', '=', taken.currency)
        .where('charge_minor', '=', taken.amountMinor)
        .executeTakeFirst(),

    fail: (id: string, reason: string) =>
      change(id)
        .set({
          state: 'failed',
          failure_reason: reason,
          next_attempt_at: null,
        })
        .where('state', 'in', unsettled)
        .executeTakeFirst(),

    /** Holds an amount for a refund, unless more would be given back than was charged. */
    holdRefund: (id: string, userId: string, amountMinor: number) =>
      change(id)
        .set({ refunding_minor: sql<number>`refunding_minor + ${amountMinor}::bigint` })
        .where('user_id', '=', userId)
        .where('state', '=', 'succeeded')
        .where(
          sql<boolean>`refunded_minor + refunding_minor + ${amountMinor}::bigint <= charge_minor`,
        )
        .executeTakeFirst(),

    /** The held amount was given back. */
    completeRefund: (id: string, amountMinor: number) =>
      change(id)
        .set({
          refunding_minor: sql<number>`refunding_minor - ${amountMinor}::bigint`,
          refunded_minor: sql<number>`refunded_minor + ${amountMinor}::bigint`,
        })
        .executeTakeFirstOrThrow(),

    /** The held amount stays where it is. */
    dropRefund: (id: string, amountMinor: number) =>
      change(id)
        .set({ refunding_minor: sql<number>`refunding_minor - ${amountMinor}::bigint` })
        .executeTakeFirstOrThrow(),

    /** Notes, once, that a processor contradicts itself. Returns whether it is news. */
    async noteContradiction(note: {
      subjectId: string
      recorded: string
      reported: string
      source: string
    }): Promise<boolean> {
      const row = await db
        .insertInto('contradictions')
        .values({
          subject_id: note.subjectId,
          recorded: note.recorded,
          reported: note.reported,
          source: note.source,
        })
        .onConflict((conflict) =>
          conflict.columns(['subject_id', 'recorded', 'reported']).doNothing(),
        )
        .returning('id')
        .executeTakeFirst()
      return row !== undefined
    },
  }
}
