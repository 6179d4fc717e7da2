import type {
  Bill,
  BillLine,
  BillQuery,
  BillState,
  BillSummary,
  Id,
  Provider,
  Utility,
} from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { sql, type InferResult, type Kysely, type NotNull } from 'kysely'
import { jsonArrayFrom } from 'kysely/helpers/postgres'
import type { Day } from './calendar.ts'
import type { Position } from './cursor.ts'
import type { DB } from './schema.ts'

export type BillFilters = Omit<BillQuery, 'cursor' | 'limit'>

export type BillsStore = ReturnType<typeof billsStore>

/** Reads providers and bills. What is returned is plain JSON, ready to be cached. */
export function billsStore({ kysely }: Pick<Database<DB>, 'kysely'>) {
  return {
    async providers(utility?: Utility): Promise<Provider[]> {
      let query = kysely.selectFrom('providers').selectAll().orderBy('utility').orderBy('name')
      if (utility) query = query.where('utility', '=', utility)
      const rows = await query.execute()
      return rows.map((row) => ({ ...row, id: row.id as Id<'prv'> }))
    },

    async provider(id: string): Promise<Provider | undefined> {
      const row = await kysely
        .selectFrom('providers')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst()
      return row && { ...row, id: row.id as Id<'prv'> }
    },

    /** A person's bills after a position, latest due date first, in their states on the day `today`; no drafts. */
    async billsOf(
      userId: string,
      page: { today: Day; filters: BillFilters; after?: Position | undefined; limit: number },
    ): Promise<BillSummary[]> {
      const { today, filters, after, limit } = page
      let query = shownBills(kysely, userId, today)
        .orderBy('bills.due_date', 'desc')
        .orderBy('bills.id', 'desc')
        .limit(limit)
      if (filters.state) query = query.where(stateOn(today), '=', filters.state)
      if (filters.utility) query = query.where('providers.utility', '=', filters.utility)
      if (filters.providerId) query = query.where('bills.provider_id', '=', filters.providerId)
      if (filters.dueFrom) query = query.where('bills.due_date', '>=', filters.dueFrom)
      if (filters.dueTo) query = query.where('bills.due_date', '<=', filters.dueTo)
      if (after) {
        query = query.where(
          sql<boolean>`(bills.due_date, bills.id) < (${after.dueDate}::date, ${after.id})`,
        )
      }
      return (await query.execute()).map(summaryOf)
    },

    /** One of the person's bills; `undefined` where it is a draft, someone else's, or there is none. */
    async bill(userId: string, billId: string, today: Day): Promise<Bill | undefined> {
      const row = await shownBills(kysely, userId, today)
        .where('bills.id', '=', billId)
        .select((eb) =>
          jsonArrayFrom(
            eb
              .selectFrom('bill_lines')
              .select(['kind', 'description', 'amount_minor'])
              .whereRef('bill_id', '=', 'bills.id')
              .orderBy('position'),
          ).as('lines'),
        )
        .executeTakeFirst()
      if (!row) return undefined
      const lines: BillLine[] = row.lines.map(({ kind, description, amount_minor }) => ({
        kind,
        description,
        amountMinor: amount_minor,
      }))
      return { ...summaryOf(row), lines }
    },
  }
}

/** The bills that a person may see, with what a list shows of them. */
function shownBills(kysely: Kysely<DB>, userId: string, today: Day) {
  return kysely
    .selectFrom('bills')
    .innerJoin('providers', 'providers.id', 'bills.provider_id')
    .where('bills.user_id', '=', userId)
    .where('bills.lifecycle', '<>', 'draft')
    .select([
      'bills.id',
      'bills.provider_id',
      'providers.name as provider_name',
      'providers.utility',
      'bills.customer_number',
      stateOn(today).as('state'),
      'bills.currency',
      'bills.total_minor',
      'bills.paid_minor',
      'bills.period_start',
      'bills.period_end',
      'bills.due_date',
      'bills.issued_at',
    ])
    .$narrowType<{ issued_at: NotNull }>()
}

/** The state that a person sees. One expression for the list and for its filter, so that they cannot disagree. */
function stateOn(today: Day) {
  return sql<BillState>`case
    when bills.lifecycle <> 'issued' then bills.lifecycle::text
    when bills.paid_minor = bills.total_minor then 'paid'
    when bills.due_date < ${today}::date then 'overdue'
    when bills.paid_minor > 0 then 'partially_paid'
    else 'open'
  end`
}

function summaryOf(row: InferResult<ReturnType<typeof shownBills>>[number]): BillSummary {
  return {
    id: row.id as Id<'bil'>,
    providerId: row.provider_id as Id<'prv'>,
    providerName: row.provider_name,
    utility: row.utility,
    customerNumber: row.customer_number,
    state: row.state,
    currency: row.currency,
    totalMinor: row.total_minor,
    paidMinor: row.paid_minor,
    periodStart: row.period_start,
    periodEnd: row.period_end,
    dueDate: row.due_date,
    issuedAt: row.issued_at.toISOString(),
  }
}
