import { sql, type Kysely } from 'kysely'
import type { DB } from '../schema.ts'

export type Verification = {
  readonly balanced: boolean
  readonly transactions: number
  readonly entries: number
  readonly findings: string[]
}

const batch = 2_000
const maxFindings = 100

/**
 * Reads the whole ledger and looks whether it balances and says what the payments say. Independent of the triggers
 * that should make every finding impossible. It goes through the tables in portions, each one statement and so one
 * moment: what is written meanwhile does not disturb it, and no statement takes long. Stops after 100 findings.
 */
export async function verifyLedger(db: Kysely<DB>, signal: AbortSignal): Promise<Verification> {
  const findings: string[] = []
  let balanced = true
  let transactions = 0
  let entries = 0

  for (let last = 0; findings.length < maxFindings;) {
    signal.throwIfAborted()
    const rows = await transactionsAfter(db, last)
    for (const row of rows) {
      transactions += 1
      entries += row.lines
      if (row.lines >= 2 && row.is_balanced) continue
      balanced = false
      findings.push(
        `ledger transaction ${row.id} has ${row.lines} entries that ${row.is_balanced ? 'add' : 'do not add'} up to zero`,
      )
    }
    last = rows.at(-1)?.id ?? last
    if (rows.length < batch) break
  }

  for (let last = ''; findings.length < maxFindings;) {
    signal.throwIfAborted()
    const rows = await paymentsAfter(db, last)
    for (const row of rows) {
      if (!row.ledger_agrees) {
        findings.push(`payment ${row.id} is ${row.state}, which the ledger does not say`)
      }
      if (!row.refunds_agree) {
        findings.push(`the refunds of payment ${row.id} do not add up to what it says`)
      }
    }
    last = rows.at(-1)?.id ?? last
    if (rows.length < batch) break
  }

  const contradictions = await db
    .selectFrom('contradictions')
    .selectAll()
    .orderBy('id', 'desc')
    .limit(maxFindings)
    .execute()
  for (const { subject_id: subject, recorded, reported, noticed_at: at } of contradictions) {
    findings.push(
      `${subject} is ${recorded}, but its processor said "${reported}" (${at.toISOString()})`,
    )
  }
  return { balanced, transactions, entries, findings: findings.slice(0, maxFindings) }
}

async function transactionsAfter(db: Kysely<DB>, last: number) {
  const { rows } = await sql<{ id: number; lines: number; is_balanced: boolean }>`
    select id,
        (select count(*)::int from ledger_entries where transaction_id = t.id) as lines,
        not exists (
          select from ledger_entries where transaction_id = t.id
            group by currency, layer having sum(amount_minor) <> 0
        ) as is_balanced
      from ledger_transactions as t
      where id > ${last}::bigint order by id limit ${batch}`.execute(db)
  return rows
}

/** What the ledger must say of each state: promised while it is open, posted when it has succeeded, else nothing. */
async function paymentsAfter(db: Kysely<DB>, last: string) {
  const { rows } = await sql<{
    id: string
    state: string
    ledger_agrees: boolean
    refunds_agree: boolean
  }>`
    with portion as (
      select *, state in ('processing', 'unknown') as is_open, state = 'succeeded' as is_paid
        from payments where id > ${last} order by id limit ${batch}
    ), booked as (
      select payment_id,
          sum(amount_minor) filter (where layer = 'pending' and account like 'processor:%') as pending_processor,
          sum(amount_minor) filter (where layer = 'pending' and account = 'coupons') as pending_coupons,
          sum(amount_minor) filter (where layer = 'pending' and account like 'provider:%') as pending_provider,
          sum(amount_minor) filter (where layer = 'posted' and account like 'processor:%') as processor,
          sum(amount_minor) filter (where layer = 'posted' and account = 'coupons') as coupons,
          sum(amount_minor) filter (where layer = 'posted' and account like 'provider:%') as provider
        from ledger_transactions as t join ledger_entries as e on e.transaction_id = t.id
        where payment_id in (select id from portion)
        group by payment_id
    )
    select id, state::text,
        coalesce(pending_processor, 0)
            = case when is_open then charge_minor else -refunding_minor end
          and coalesce(pending_coupons, 0) = case when is_open then discount_minor else 0 end
          and coalesce(pending_provider, 0)
            = case when is_open then -amount_minor else refunding_minor end
          and coalesce(processor, 0) = case when is_paid then charge_minor - refunded_minor else 0 end
          and coalesce(coupons, 0) = case when is_paid then discount_minor else 0 end
          and coalesce(provider, 0) = case when is_paid then refunded_minor - amount_minor else 0 end
          as ledger_agrees,
        (refunded_minor, refunding_minor) = (
          select
              coalesce(sum(amount_minor) filter (where state = 'succeeded'), 0),
              coalesce(sum(amount_minor) filter (where state in ('processing', 'unknown')), 0)
            from refunds where payment_id = portion.id
        ) as refunds_agree
      from portion left join booked on payment_id = id
      order by id`.execute(db)
  return rows
}
