import type { Currency } from '@wattle/contracts'
import { sql, type Transaction } from 'kysely'
import type { DB } from '../schema.ts'

/** What a ledger transaction is about: the charge of a payment, or one of its refunds. */
export type LedgerSubject = { readonly paymentId: string; readonly refundId?: string }

/** An amount on an account: a debit is positive, a credit negative. */
export type Line = { readonly account: string; readonly amountMinor: number }

export const processorAccount = (processor: string) => `processor:${processor}`
export const providerAccount = (providerId: string) => `provider:${providerId}`
export const couponsAccount = 'coupons'

/**
 * Writes that an amount is promised: a pending ledger transaction. Lines of zero are left out. What the database
 * demands of every ledger transaction stands in migrations/0002_ledger.sql.
 */
export async function promise(
  trx: Transaction<DB>,
  subject: LedgerSubject,
  currency: Currency,
  lines: readonly Line[],
): Promise<void> {
  const { id } = await trx
    .insertInto('ledger_transactions')
    .values({ ...columnsOf(subject), phase: 'pending' })
    .returning('id')
    .executeTakeFirstOrThrow()
  const entries = lines
    .filter(({ amountMinor }) => amountMinor !== 0)
    .map(({ account, amountMinor }, index) => ({
      transaction_id: id,
      line: index + 1,
      account,
      currency,
      layer: 'pending' as const,
      amount_minor: amountMinor,
    }))
  await trx.insertInto('ledger_entries').values(entries).execute()
}

/** Writes that what was pending has happened: it leaves the pending layer and enters the posted one. */
export async function post(trx: Transaction<DB>, subject: LedgerSubject): Promise<void> {
  await resolve(trx, subject, 'posted')
}

/** Writes that what was pending will not happen: it leaves the pending layer. */
export async function voidPending(trx: Transaction<DB>, subject: LedgerSubject): Promise<void> {
  await resolve(trx, subject, 'voided')
}

async function resolve(
  trx: Transaction<DB>,
  subject: LedgerSubject,
  phase: 'posted' | 'voided',
): Promise<void> {
  const columns = columnsOf(subject)
  const pending = await trx
    .selectFrom('ledger_transactions')
    .select('id')
    .where('phase', '=', 'pending')
    .where('purpose', '=', columns.purpose)
    .where('payment_id', '=', columns.payment_id)
    .where('refund_id', 'is not distinct from', columns.refund_id)
    .executeTakeFirstOrThrow()
  const { id } = await trx
    .insertInto('ledger_transactions')
    .values({ ...columns, phase, resolves: pending.id })
    .returning('id')
    .executeTakeFirstOrThrow()
  const mirror = sql.join(
    phase === 'posted'
      ? [sql`('pending'::ledger_layer, -1)`, sql`('posted'::ledger_layer, 1)`]
      : [sql`('pending'::ledger_layer, -1)`],
  )
  await sql`
    insert into ledger_entries (transaction_id, line, account, currency, layer, amount_minor)
    select ${id}::bigint, row_number() over (order by mirror.layer, line),
        account, currency, mirror.layer, mirror.sign * amount_minor
      from ledger_entries cross join (values ${mirror}) as mirror (layer, sign)
      where transaction_id = ${pending.id}::bigint`.execute(trx)
}

function columnsOf({ paymentId, refundId }: LedgerSubject) {
  const purpose = refundId === undefined ? ('charge' as const) : ('refund' as const)
  return { purpose, payment_id: paymentId, refund_id: refundId ?? null }
}
