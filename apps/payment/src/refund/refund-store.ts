import { sql, type Kysely, type Selectable } from 'kysely'
import { fromNow } from '../payment/payment-store.ts'
import type { DB, RefundState } from '../schema.ts'

export type RefundRow = Selectable<DB['refunds']>

const unsettled = ['processing', 'unknown'] as const satisfies RefundState[]

/** The SQL of refunds; changes name the state they start from, as those of payments do. */
export function refundStore(db: Kysely<DB>) {
  const change = (id: string) =>
    db.updateTable('refunds').where('id', '=', id).where('state', 'in', unsettled).returningAll()

  return {
    byId: (id: string): Promise<RefundRow | undefined> =>
      db.selectFrom('refunds').selectAll().where('id', '=', id).executeTakeFirst(),

    ofPayment: (paymentId: string): Promise<RefundRow[]> =>
      db
        .selectFrom('refunds')
        .selectAll()
        .where('payment_id', '=', paymentId)
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .execute(),

    insert: (
      refund: Pick<RefundRow, 'id' | 'payment_id' | 'currency' | 'amount_minor' | 'correlation_id'>,
      askAfterMs: number,
    ) =>
      db
        .insertInto('refunds')
        .values({ ...refund, next_attempt_at: fromNow(askAfterMs) })
        .returningAll()
        .executeTakeFirstOrThrow(),

    unclear: (id: string, askInMs: number) =>
      change(id)
        .set({ state: 'unknown', next_attempt_at: fromNow(askInMs) })
        .executeTakeFirst(),

    postpone: (id: string, askInMs: number) =>
      change(id)
        .set({ next_attempt_at: fromNow(askInMs) })
        .executeTakeFirst(),

    succeed: (id: string, given: Pick<RefundRow, 'currency' | 'amount_minor'>) =>
      change(id)
        .set({ state: 'succeeded', next_attempt_at: null })
        .where('currency', '=', given.currency)
        .where('amount_minor', '=', sql<number>`${given.amount_minor}::bigint`)
        .executeTakeFirst(),

    fail: (id: string, reason: string) =>
      change(id)
        .set({ state: 'failed', failure_reason: reason, next_attempt_at: null })
        .executeTakeFirst(),
  }
}
