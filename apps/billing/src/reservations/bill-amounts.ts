import { AppError } from '@wattle/contracts'
import { sql, type Kysely, type Selectable, type Transaction } from 'kysely'
import type { DB } from '../schema.ts'
import type { Hold } from './reservation-store.ts'

export type BillAmounts = Pick<
  Selectable<DB['bills']>,
  'provider_id' | 'lifecycle' | 'currency' | 'total_minor' | 'paid_minor' | 'reserved_minor'
>
const columns = [
  'provider_id',
  'lifecycle',
  'currency',
  'total_minor',
  'paid_minor',
  'reserved_minor',
] as const

/** The amounts of one of the person's bills; undefined where it is a draft, someone else's, or there is none. */
export function amountsOf(
  db: Kysely<DB>,
  { userId, billId }: Pick<Hold, 'userId' | 'billId'>,
): Promise<BillAmounts | undefined> {
  return db
    .selectFrom('bills')
    .select(columns)
    .where('id', '=', billId)
    .where('user_id', '=', userId)
    .where('lifecycle', '<>', 'draft')
    .executeTakeFirst()
}

/**
 * Holds an amount of a bill, if one statement finds that as much is due. Returns the bill's provider, or undefined: then
 * nothing was changed, and `refusalOf` knows why.
 */
export async function holdAmount(trx: Transaction<DB>, hold: Hold): Promise<string | undefined> {
  const minor = sql`${hold.amountMinor}::bigint`
  const bill = await trx
    .updateTable('bills')
    .set({ reserved_minor: sql`reserved_minor + ${minor}` })
    .where('id', '=', hold.billId)
    .where('user_id', '=', hold.userId)
    .where('lifecycle', '=', 'issued')
    .where('currency', '=', hold.currency)
    .where(sql<boolean>`${minor} <= total_minor - paid_minor - reserved_minor`)
    .returning('provider_id')
    .executeTakeFirst()
  return bill?.provider_id
}

/** Why an amount of the bill cannot be held; undefined when it can. */
export function refusalOf(
  bill: BillAmounts | undefined,
  { currency, amountMinor }: Pick<Hold, 'currency' | 'amountMinor'>,
): AppError | undefined {
  if (!bill) return new AppError('NOT_FOUND', 'You have no such bill.')
  if (bill.lifecycle !== 'issued') {
    return new AppError('BILL_NOT_PAYABLE', 'This bill was withdrawn by its provider.')
  }
  if (bill.currency !== currency) {
    return new AppError('CURRENCY_MISMATCH', `The bill is in ${bill.currency}, not ${currency}.`)
  }
  if (bill.paid_minor === bill.total_minor) {
    return new AppError('BILL_NOT_PAYABLE', 'This bill is paid.')
  }
  const dueMinor = dueOf(bill)
  if (amountMinor <= dueMinor) return undefined
  const held =
    bill.reserved_minor === 0
      ? ''
      : ` Payments under way hold another ${bill.reserved_minor} ${currency}.`
  return new AppError(
    'AMOUNT_EXCEEDS_DUE',
    `${dueMinor} ${currency} (minor units) can still be paid of this bill.${held}`,
    {
      fields: [{ in: 'body', field: 'amountMinor', problem: `is more than ${dueMinor}` }],
    },
  )
}

/** What is neither paid nor held. */
export const dueOf = (bill: BillAmounts): number =>
  bill.total_minor - bill.paid_minor - bill.reserved_minor

/** Ends a hold: the amount is free again, or `paid`. */
export function endHold(
  trx: Transaction<DB>,
  { billId, amountMinor, paid }: { billId: string; amountMinor: number; paid: boolean },
): Promise<unknown> {
  return trx
    .updateTable('bills')
    .set({
      reserved_minor: sql`reserved_minor - ${amountMinor}::bigint`,
      paid_minor: sql`paid_minor + ${paid ? amountMinor : 0}::bigint`,
    })
    .where('id', '=', billId)
    .execute()
}

/** Takes back what was paid, after a refund: as much is due again. */
export function takeBack(
  trx: Transaction<DB>,
  { billId, refundedMinor }: { billId: string; refundedMinor: number },
): Promise<unknown> {
  return trx
    .updateTable('bills')
    .set({ paid_minor: sql`paid_minor - ${refundedMinor}::bigint` })
    .where('id', '=', billId)
    .execute()
}
