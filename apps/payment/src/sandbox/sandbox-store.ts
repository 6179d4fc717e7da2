import type { Currency } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { sql, type Selectable } from 'kysely'
import { fromNow } from '../payment/payment-store.ts'
import type { DB } from '../schema.ts'

/** A charge or refund as the sandbox remembers it, and whether its settling time has passed. */
export type Remembered = Pick<
  Selectable<DB['sandbox_charges']>,
  'key' | 'currency' | 'amount_minor' | 'outcome' | 'reason'
> & { readonly is_settled: boolean; readonly is_new: boolean }

export type NewCharge = {
  readonly key: string
  readonly instrument: string
  readonly currency: Currency
  readonly amountMinor: number
  readonly outcome: 'succeeded' | 'failed' | 'canceled'
  readonly reason: string | undefined
  readonly settleInMs: number
}

export type NewCallback = {
  readonly messageId: string
  readonly chargeKey: string
  readonly body: string
  readonly dueInMs: number
}

const remembered = [
  'key',
  'currency',
  'amount_minor',
  'outcome',
  'reason',
  sql<boolean>`settles_at <= now()`.as('is_settled'),
  // Of a row that was there before, the insert is the second call at least.
  sql<boolean>`calls = 1`.as('is_new'),
] as const

/** The sandbox's own memory: its own tables, its own connections. */
export function sandboxStore(database: Pick<Database<DB>, 'kysely' | 'transaction'>) {
  const { kysely } = database

  return {
    /** Takes a charge unless its key is known; returns the one that stands. Callbacks go with a new one. */
    takeCharge: (charge: NewCharge, callbacks: readonly NewCallback[]): Promise<Remembered> =>
      database.transaction(async (trx) => {
        const row = await trx
          .insertInto('sandbox_charges')
          .values({
            key: charge.key,
            instrument: charge.instrument,
            currency: charge.currency,
            amount_minor: charge.amountMinor,
            outcome: charge.outcome,
            reason: charge.reason ?? null,
            settles_at: fromNow(charge.settleInMs),
          })
          .onConflict((conflict) =>
            conflict.column('key').doUpdateSet({ calls: sql<number>`sandbox_charges.calls + 1` }),
          )
          .returning(remembered)
          .executeTakeFirstOrThrow()
        if (row.is_new && callbacks.length > 0) {
          await trx
            .insertInto('sandbox_callbacks')
            .values(
              callbacks.map(({ messageId, chargeKey, body, dueInMs }) => ({
                message_id: messageId,
                charge_key: chargeKey,
                body,
                due_at: fromNow(dueInMs),
              })),
            )
            .execute()
        }
        return row
      }),

    charge: (key: string): Promise<(Remembered & { instrument: string }) | undefined> =>
      kysely
        .selectFrom('sandbox_charges')
        .select([...remembered, 'instrument'])
        .where('key', '=', key)
        .executeTakeFirst(),

    /** Takes a refund unless its key is known or the charge has not so much left; returns the one that stands. */
    takeRefund: (refund: {
      key: string
      chargeKey: string
      currency: Currency
      amountMinor: number
      outcome: 'succeeded' | 'failed'
      reason: string | undefined
      settleInMs: number
    }): Promise<Remembered> =>
      database.transaction(async (trx) => {
        const charge = await trx
          .selectFrom('sandbox_charges')
          .select(['amount_minor', 'currency', 'outcome'])
          .where('key', '=', refund.chargeKey)
          .forUpdate()
          .executeTakeFirst()
        const { given } = await trx
          .selectFrom('sandbox_refunds')
          .select(sql<number>`coalesce(sum(amount_minor), 0)::bigint`.as('given'))
          .where('charge_key', '=', refund.chargeKey)
          .where('key', '<>', refund.key)
          .where('outcome', '=', 'succeeded')
          .executeTakeFirstOrThrow()
        if (charge?.outcome !== 'succeeded' || charge.currency !== refund.currency) {
          throw new Error(`there is no such charge to refund: ${refund.chargeKey}`)
        }
        const isCovered = given + refund.amountMinor <= charge.amount_minor
        return trx
          .insertInto('sandbox_refunds')
          .values({
            key: refund.key,
            charge_key: refund.chargeKey,
            currency: refund.currency,
            amount_minor: refund.amountMinor,
            outcome: isCovered ? refund.outcome : 'failed',
            reason: isCovered ? (refund.reason ?? null) : 'exceeds_charge',
            settles_at: fromNow(refund.settleInMs),
          })
          .onConflict((conflict) =>
            conflict.column('key').doUpdateSet({ calls: sql<number>`sandbox_refunds.calls + 1` }),
          )
          .returning(remembered)
          .executeTakeFirstOrThrow()
      }),

    refund: (key: string): Promise<Remembered | undefined> =>
      kysely
        .selectFrom('sandbox_refunds')
        .select(remembered)
        .where('key', '=', key)
        .executeTakeFirst(),

    /** Takes on callbacks that are due, for `claimMs`; another process takes over those that are not delivered then. */
    async claimCallbacks(limit: number, claimMs: number) {
      const { rows } = await sql<{
        id: number
        message_id: string
        body: string
        attempts: number
      }>`
        update sandbox_callbacks set attempts = attempts + 1, due_at = ${fromNow(claimMs)}
        where id in (
          select id from sandbox_callbacks
          where delivered_at is null and not given_up and due_at <= now()
          order by due_at, id limit ${limit} for update skip locked
        )
        returning id, message_id, body, attempts`.execute(kysely)
      return rows.toSorted((a, b) => a.id - b.id)
    },

    delivered: (id: number) =>
      kysely
        .updateTable('sandbox_callbacks')
        .set({ delivered_at: sql<Date>`now()` })
        .where('id', '=', id)
        .execute(),

    undelivered: (id: number, retryInMs: number | undefined) =>
      kysely
        .updateTable('sandbox_callbacks')
        .set(retryInMs === undefined ? { given_up: true } : { due_at: fromNow(retryInMs) })
        .where('id', '=', id)
        .execute(),
  }
}
