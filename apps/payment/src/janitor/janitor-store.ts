import { sql, type Kysely } from 'kysely'
import { fromNow, type PaymentRow } from '../payment/payment-store.ts'
import type { RefundRow } from '../refund/refund-store.ts'
import type { DB } from '../schema.ts'

/**
 * Takes on what is due: for `claimMs` no other process gets it. The rows are locked only while they are marked, and
 * rows that another process is just marking, or changing, are passed over.
 */
export function janitorStore(db: Kysely<DB>) {
  const due = (table: 'payments' | 'refunds', limit: number) =>
    db
      .selectFrom(table)
      .select('id')
      .where('next_attempt_at', '<=', sql<Date>`now()`)
      .orderBy('next_attempt_at')
      .limit(limit)
      .forUpdate()
      .skipLocked()
  const claimed = (claimMs: number) => ({
    next_attempt_at: fromNow(claimMs),
    attempts: sql<number>`attempts + 1`,
  })

  return {
    claimPayments: (limit: number, claimMs: number): Promise<PaymentRow[]> =>
      db
        .updateTable('payments')
        .set(claimed(claimMs))
        .where('id', 'in', due('payments', limit))
        .returningAll()
        .execute(),

    claimRefunds: (limit: number, claimMs: number): Promise<RefundRow[]> =>
      db
        .updateTable('refunds')
        .set(claimed(claimMs))
        .where('id', 'in', due('refunds', limit))
        .returningAll()
        .execute(),

    /** Forgets callbacks that are older than that; their signatures are long refused. Some at a time. */
    async purgeCallbacks(olderThanMs: number, limit: number): Promise<number> {
      const result = await sql`
        delete from processor_callbacks where id in (
          select id from processor_callbacks where received_at < ${fromNow(-olderThanMs)}
          order by received_at limit ${limit}
        )`.execute(db)
      return Number(result.numAffectedRows ?? 0)
    },

    /** What waits for somebody, and for how long it has been overdue. */
    async backlog(): Promise<{
      unsettled: number
      overdueSeconds: number
      contradictions: number
    }> {
      const { rows } = await sql<{ unsettled: number; overdue: number; contradictions: number }>`
        select count(*)::int as unsettled,
            greatest(0, coalesce(extract(epoch from now() - min(next_attempt_at)), 0))::float8
              as overdue,
            (select count(*)::int from contradictions) as contradictions
          from (
            select next_attempt_at from payments
              where next_attempt_at is not null and state <> 'requires_confirmation'
            union all
            select next_attempt_at from refunds where next_attempt_at is not null
          ) as waiting`.execute(db)
      const { unsettled = 0, overdue = 0, contradictions = 0 } = rows[0] ?? {}
      return { unsettled, overdueSeconds: overdue, contradictions }
    },
  }
}
