import type { SqlQuery } from '@wattle/cache'
import { AppError, newId, type Id, type UtilityAccount } from '@wattle/contracts'
import { isCheckViolation, isUniqueViolation, queryOf, type Database } from '@wattle/database'
import type { Transaction } from 'kysely'
import type { BillerBill } from './biller.ts'
import type { Currency, DB } from './schema.ts'

export type NewAccount = {
  readonly userId: string
  readonly providerId: Id<'prv'>
  readonly customerNumber: string
  readonly currency: Currency
  readonly bills: readonly BillerBill[]
}

export type AccountsStore = ReturnType<typeof accountsStore>

/** Keeps which accounts people have at providers, and takes in the bills of those accounts. */
export function accountsStore(database: Pick<Database<DB>, 'kysely' | 'within'>) {
  return {
    async accountsOf(userId: string): Promise<UtilityAccount[]> {
      const rows = await database.kysely
        .selectFrom('utility_accounts')
        .selectAll()
        .where('user_id', '=', userId)
        .orderBy('created_at')
        .orderBy('id')
        .execute()
      return rows.map((row) => ({
        id: row.id as Id<'acc'>,
        providerId: row.provider_id as Id<'prv'>,
        customerNumber: row.customer_number,
        createdAt: row.created_at.toISOString(),
      }))
    },

    /**
     * Links an account to a person and stores its bills, both or neither; `note` joins the transaction.
     *
     * @throws AppError ACCOUNT_LINKED when anyone has linked it; it does not say who. BAD_GATEWAY when a bill breaks
     * the rules of bills.
     */
    async link(
      account: NewAccount,
      {
        now,
        signal,
        note,
      }: { now: Date; signal: AbortSignal; note: (query: SqlQuery) => Promise<void> },
    ): Promise<UtilityAccount> {
      const { userId, providerId, customerNumber } = account
      const id = newId('acc')
      try {
        await database.within(signal).transaction(async (trx) => {
          await trx
            .insertInto('utility_accounts')
            .values({
              id,
              user_id: userId,
              provider_id: providerId,
              customer_number: customerNumber,
              created_at: now,
            })
            .execute()
          await importBills(trx, account)
          await note(queryOf(trx))
        })
      } catch (error) {
        if (isLinkedAlready(error)) {
          throw new AppError('ACCOUNT_LINKED', 'This account is linked already.', { cause: error })
        }
        if (isCheckViolation(error)) {
          throw new AppError('BAD_GATEWAY', 'The provider sent a bill that cannot be right.', {
            cause: error,
          })
        }
        throw error
      }
      return { id, providerId, customerNumber, createdAt: now.toISOString() }
    },
  }
}

/** Adds the bills of periods that have none yet, with their lines. Returns how many were added. */
export async function importBills(trx: Transaction<DB>, account: NewAccount): Promise<number> {
  const bills = account.bills.map((bill) => ({ ...bill, id: newId('bil') }))
  if (bills.length === 0) return 0
  const added = await trx
    .insertInto('bills')
    .values(
      bills.map((bill) => ({
        id: bill.id,
        user_id: account.userId,
        provider_id: account.providerId,
        customer_number: account.customerNumber,
        lifecycle: bill.lifecycle,
        currency: account.currency,
        total_minor: bill.lines.reduce((sum, line) => sum + line.amountMinor, 0),
        paid_minor: bill.paidMinor,
        period_start: bill.periodStart,
        period_end: bill.periodEnd,
        due_date: bill.dueDate,
        issued_at: bill.issuedAt,
      })),
    )
    .onConflict((conflict) => conflict.constraint('bill_of_period').doNothing())
    .returning('id')
    .execute()
  const addedIds = new Set(added.map((row) => row.id))
  const lines = bills
    .filter((bill) => addedIds.has(bill.id))
    .flatMap((bill) =>
      bill.lines.map((line, index) => ({
        bill_id: bill.id,
        position: index + 1,
        kind: line.kind,
        description: line.description,
        amount_minor: line.amountMinor,
      })),
    )
  if (lines.length > 0) await trx.insertInto('bill_lines').values(lines).execute()
  return added.length
}

/** Both constraints refuse a second link; which of them is reported when two link at once is up to PostgreSQL. */
function isLinkedAlready(error: unknown): boolean {
  return (
    isUniqueViolation(error, 'account_linked_once') || isUniqueViolation(error, 'account_of_person')
  )
}
