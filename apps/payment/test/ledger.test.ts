import { migrate, openDatabase, type Database } from '@wattle/database'
import { startDatabase, type TestDatabase } from '@wattle/testkit'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { newId } from '@wattle/contracts'
import { migrations } from './world.ts'

let postgres: TestDatabase
/** Everything here is done as the service's own role. */
let database: Database<unknown>
beforeAll(async () => {
  postgres = await startDatabase({ service: 'payment', migrations, migrate })
  database = openDatabase({ url: postgres.url, name: 'ledger-test' })
})
afterAll(async () => {
  await database.close()
  await postgres.drop()
})

const run = (text: string) => sql.raw(text).execute(database.kysely)
/** Statements of one transaction. */
const inOne = (...statements: string[]) =>
  database.transaction(async (trx) => {
    for (const statement of statements) await sql.raw(statement).execute(trx)
  })

const provider = 'provider:prv_00000000-0000-7000-8000-000000000000'
const last = '(select max(id) from ledger_transactions)'
let payment: string
beforeEach(async () => {
  payment = newId('pay')
  await run(`insert into payments
    (id, user_id, bill_id, currency, amount_minor, instrument, correlation_id, next_attempt_at)
    values ('${payment}', 'usr_1', 'bil_1', 'NGN', 100, 'test', 'req_1', now())`)
})

const transaction = (phase: string, more = '') =>
  `insert into ledger_transactions (purpose, phase, payment_id, resolves, reverses, reason)
   values ('charge', '${phase}', '${payment}', ${more === '' ? 'null, null, null' : more})`
type Entry = [account: string, amount: number, layer?: string, currency?: string]
const entries = (...lines: Entry[]) =>
  `insert into ledger_entries (transaction_id, line, account, currency, layer, amount_minor) values
   ${lines
     .map(
       ([account, amount, layer = 'pending', currency = 'NGN'], index) =>
         `(${last}, ${index + 1}, '${account}', '${currency}', '${layer}', ${amount})`,
     )
     .join(', ')}`
const promised: Entry[] = [
  ['processor:sandbox', 80],
  ['coupons', 20],
  [provider, -100],
]
const takenBack = promised.map(([account, amount]): Entry => [account, -amount])
const posted = promised.map(([account, amount]): Entry => [account, amount, 'posted'])

/** A pending transaction of this payment; returns its id. */
async function pending(): Promise<number> {
  await inOne(transaction('pending'), entries(...promised))
  const { rows } = await sql<{ id: number }>`select max(id) as id from ledger_transactions`.execute(
    database.kysely,
  )
  return rows[0]?.id ?? 0
}
const count = async () =>
  (await postgres.query('select count(*)::int as n from ledger_entries'))[0]?.['n']

describe('S2 the ledger refuses to the role of the service', () => {
  test.each([
    'update ledger_entries set amount_minor = 1',
    'delete from ledger_entries',
    'truncate ledger_entries',
    'truncate ledger_entries, ledger_transactions',
    `update ledger_transactions set phase = 'voided'`,
    'delete from ledger_transactions',
    'truncate ledger_transactions cascade',
    'alter table ledger_entries disable trigger all',
    'set session_replication_role = replica',
    'create temp table ledger_entries (transaction_id bigint)',
    'create table public.shadow ()',
    'drop trigger ledger_append_only on ledger_entries',
    'drop function ledger_assert_whole cascade',
    'delete from payments',
    'delete from refunds',
    'update contradictions set recorded = null',
    'delete from contradictions',
  ])('%s', async (statement) => {
    await pending()
    const before = await count()
    await expect(run(statement)).rejects.toThrow(
      /permission denied|must be owner|append only|no schema has been selected/,
    )
    expect(await count()).toBe(before)
  })

  test('to choose an id, a time or the database transaction of its own', async () => {
    const columns = 'insert into ledger_transactions (purpose, phase, payment_id,'
    for (const [column, value] of [
      ['id', '99'],
      ['created_at', 'now()'],
      ['created_xid', `'1'`],
    ]) {
      const statement = `${columns} ${column}) overriding system value
        values ('charge', 'pending', '${payment}', ${value})`
      await expect(run(statement)).rejects.toThrow(/permission denied/)
    }
  })

  test.each<[string, RegExp, Entry[]]>([
    ['that do not add up', /add up to zero/, [promised[0] as Entry, [provider, -81]]],
    ['of one line', /at least two/, [[provider, 100]]],
    ['none at all', /at least two/, []],
    [
      'that add up only across currencies',
      /add up to zero/,
      [
        ['coupons', 5, 'pending', 'NGN'],
        [provider, -5, 'pending', 'USD'],
      ],
    ],
    [
      'that add up only across layers',
      /add up to zero/,
      [
        ['coupons', 5, 'pending'],
        [provider, -5, 'posted'],
      ],
    ],
    [
      'posted at once, without having been pending',
      /what its phase demands/,
      [
        ['coupons', 5, 'posted'],
        [provider, -5, 'posted'],
      ],
    ],
    ['of nothing', /violates check/, [['coupons', 0]]],
    ['on an account that does not exist', /violates check/, [['pockets', 1]]],
    ['past what a double holds', /violates check/, [['coupons', Number.MAX_SAFE_INTEGER + 1]]],
  ])('entries %s', async (_, reason, lines) => {
    const before = await count()
    const statements = [transaction('pending'), ...(lines.length > 0 ? [entries(...lines)] : [])]
    await expect(inOne(...statements)).rejects.toThrow(reason)
    expect(await count()).toBe(before)
  })

  test('entries added to a transaction that is committed, even balanced ones', async () => {
    const id = await pending()
    const late = `insert into ledger_entries values
      (${id}, 8, 'coupons', 'NGN', 'pending', 5), (${id}, 9, '${provider}', 'NGN', 'pending', -5)`
    await expect(run(late)).rejects.toThrow(/is closed/)
  })

  test('entries that come after the checks were made to run early', async () => {
    const unbalanced = `insert into ledger_entries values (${last}, 9, 'coupons', 'NGN', 'pending', 5)`
    await expect(
      inOne(
        transaction('pending'),
        entries(...promised),
        'set constraints all immediate',
        unbalanced,
      ),
    ).rejects.toThrow(/add up to zero/)
  })

  test('a second charge of one payment', async () => {
    await pending()
    await expect(pending()).rejects.toThrow(/ledger_one_charge/)
  })
})

describe('S2 what is pending', () => {
  test('is posted account by account, once, and never voided afterwards', async () => {
    const id = await pending()
    const posting = transaction('posted', `${id}, null, null`)
    await inOne(posting, entries(...takenBack, ...posted))
    await expect(inOne(posting, entries(...takenBack, ...posted))).rejects.toThrow(/resolves_key/)
    const voiding = transaction('voided', `${id}, null, null`)
    await expect(inOne(voiding, entries(...takenBack))).rejects.toThrow(/resolves_key/)
  })

  test.each<[string, string, Entry[]]>([
    [
      'less than was pending',
      'posted',
      [...takenBack, ['coupons', 20, 'posted'], [provider, -20, 'posted']],
    ],
    [
      'on another account',
      'posted',
      [...takenBack, ['fees', 100, 'posted'], [provider, -100, 'posted']],
    ],
    ['without leaving the pending layer', 'posted', posted],
    [
      'in part',
      'voided',
      [
        ['coupons', -20],
        [provider, 20],
      ],
    ],
    ['with money posted', 'voided', [...takenBack, ...posted]],
  ])('is not resolved %s', async (_, phase, lines) => {
    const id = await pending()
    await expect(inOne(transaction(phase, `${id}, null, null`), entries(...lines))).rejects.toThrow(
      /what its phase demands/,
    )
  })

  test('is not resolved in the name of another payment', async () => {
    const id = await pending()
    const first = payment
    payment = newId('pay')
    await run(`insert into payments
      (id, user_id, bill_id, currency, amount_minor, instrument, correlation_id, next_attempt_at)
      values ('${payment}', 'usr_1', 'bil_1', 'NGN', 100, 'test', 'req_1', now())`)
    await expect(
      inOne(transaction('voided', `${id}, null, null`), entries(...takenBack)),
    ).rejects.toThrow(/does not belong/)
    payment = first
  })
})

describe('S2 a correction', () => {
  async function postedId(): Promise<number> {
    const id = await pending()
    await inOne(transaction('posted', `${id}, null, null`), entries(...takenBack, ...posted))
    const rows = await postgres.query(`select ${last} as id`)
    return Number(rows[0]?.['id'])
  }

  test('is a reversal that takes back the whole of a posted transaction, once, with its reason', async () => {
    const id = await postedId()
    await run(`select ledger_reverse(${id}, 'posted to the wrong provider')`)
    const sums = await postgres.query(
      `select sum(amount_minor)::int as sum from ledger_entries
       join ledger_transactions on id = transaction_id
       where payment_id = $1 and layer = 'posted' group by account`,
      [payment],
    )
    expect(sums).toEqual([{ sum: 0 }, { sum: 0 }, { sum: 0 }])
    await expect(run(`select ledger_reverse(${id}, 'again')`)).rejects.toThrow(/reverses_key/)
  })

  test('cannot be partial, without a reason, or of what is only pending', async () => {
    const id = await postedId()
    const partial = entries(['coupons', -20, 'posted'], [provider, 20, 'posted'])
    await expect(inOne(transaction('reversal', `null, ${id}, 'why'`), partial)).rejects.toThrow(
      /what its phase demands/,
    )
    await expect(inOne(transaction('reversal', `null, ${id}, null`), partial)).rejects.toThrow(
      /ledger_reason/,
    )
    await expect(run(`select ledger_reverse(${id - 1}, 'pending')`)).rejects.toThrow(/no posted/)
  })

  test('is the only way, for the owner of the tables too', async () => {
    await pending()
    await expect(postgres.query('delete from ledger_entries')).rejects.toThrow(/append only/)
    await expect(postgres.query('update ledger_transactions set reason = null')).rejects.toThrow(
      /append only/,
    )
    await expect(postgres.query('truncate ledger_entries')).rejects.toThrow(/append only/)
  })
})
