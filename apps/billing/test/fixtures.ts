import { newId, type BillSummary, type Provider, type Utility } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { importBills } from '../src/accounts-store.ts'
import type { BillerBill } from '../src/biller.ts'
import { eventually } from '@wattle/testkit'
import { expect } from 'vitest'
import { addDays } from '../src/calendar.ts'
import type { DB } from '../src/schema.ts'
import type { Person } from './world.ts'

/** A bill of 1,000 for the month that begins on `periodStart`. */
export function bill(periodStart: string, changes: Partial<BillerBill> = {}): BillerBill {
  return {
    lifecycle: 'issued',
    periodStart,
    periodEnd: addDays(periodStart, 27),
    dueDate: addDays(periodStart, 45),
    issuedAt: `${addDays(periodStart, 31)}T05:00:00.000Z`,
    paidMinor: 0,
    lines: [
      { kind: 'usage', description: 'Energy', amountMinor: 900 },
      { kind: 'tax', description: 'VAT', amountMinor: 100 },
    ],
    ...changes,
  }
}

let customers = 0

/** An account of a person with these bills, straight into the database. */
export async function account(
  database: Database<DB>,
  { userId }: Pick<Person, 'userId'>,
  bills: readonly BillerBill[],
  options: { utility?: Utility } = {},
) {
  const { id: providerId } = await database.kysely
    .selectFrom('providers')
    .select('id')
    .where('utility', '=', options.utility ?? 'electricity')
    .orderBy('name')
    .executeTakeFirstOrThrow()
  customers += 1
  const owner = {
    userId,
    providerId: providerId as Provider['id'],
    customerNumber: String(10_000_000 + customers),
    currency: 'NGN' as const,
  }
  await database.transaction(async (trx) => {
    await trx
      .insertInto('utility_accounts')
      .values({
        id: newId('acc'),
        user_id: owner.userId,
        provider_id: owner.providerId,
        customer_number: owner.customerNumber,
      })
      .execute()
    await importBills(trx, { ...owner, bills })
  })
  return {
    ...owner,
    add: (more: readonly BillerBill[]) =>
      database.transaction((trx) => importBills(trx, { ...owner, bills: more })),
  }
}

/** Every page of the list, one after the other. `between` runs after each. */
export async function allPages(
  person: Person,
  query: Record<string, string> = {},
  between: (page: number) => Promise<unknown> = async () => {},
): Promise<BillSummary[]> {
  const items: BillSummary[] = []
  let cursor: string | null = ''
  for (let page = 1; cursor !== null; page += 1) {
    const reply = await person.get('/bills', cursor ? { ...query, cursor } : query)
    if (reply.statusCode !== 200) throw new Error(`${reply.statusCode} ${reply.body}`)
    const body: { items: BillSummary[]; nextCursor: string | null } = reply.json()
    items.push(...body.items)
    cursor = body.nextCursor
    await between(page)
  }
  return items
}

/** Asks until the answer comes from the cache: what was loaded is stored after it was answered. */
export function untilHit(ask: () => ReturnType<Person['get']>) {
  return eventually(async () => {
    const reply = await ask()
    expect(reply.headers['x-cache-status']).toBe('HIT')
    return reply
  })
}
