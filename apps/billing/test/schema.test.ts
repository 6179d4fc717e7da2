import { outboxMigration } from '@wattle/cache'
import { newId } from '@wattle/contracts'
import {
  checkMigrationCopies,
  checkSchemaTypes,
  openDatabase,
  type Database,
} from '@wattle/database'
import type { TestDatabase } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DB } from '../src/schema.ts'
import { account, bill } from './fixtures.ts'
import { startTestDatabase } from './world.ts'

let postgres: TestDatabase
let database: Database<DB>
beforeAll(async () => {
  postgres = await startTestDatabase()
  database = openDatabase<DB>({ url: postgres.url, name: 'schema-test' })
})
afterAll(async () => {
  await database.close()
  await postgres.drop()
})

describe('the schema', () => {
  test('has the table for invalidations as the cache wants it', () => {
    const migrations = new URL('../migrations', import.meta.url)
    expect(() => checkMigrationCopies(migrations, [outboxMigration])).not.toThrow()
  })

  test('is what src/schema.ts says', async () => {
    const file = new URL('../src/schema.ts', import.meta.url)
    await expect(checkSchemaTypes({ url: postgres.ownerUrl, file })).resolves.toBeUndefined()
  })

  test.each([
    [
      'a line that was changed',
      'update bill_lines set amount_minor = amount_minor + 1',
      'sum of its lines',
    ],
    ['a line that was removed', 'delete from bill_lines where position = 2', 'sum of its lines'],
    [
      'a total that was changed',
      'update bills set total_minor = total_minor + 1',
      'sum of its lines',
    ],
    [
      'more paid than billed',
      'update bills set paid_minor = total_minor + 1',
      'paid_at_most_total',
    ],
    ['less than nothing paid', 'update bills set paid_minor = -1', 'amount_minor_range'],
    [
      'an amount past 2^53 - 1',
      'update bills set total_minor = 9007199254740992',
      'amount_minor_range',
    ],
    [
      'a payment of a void bill',
      `update bills set lifecycle = 'void', paid_minor = 1`,
      'paid_only_when_issued',
    ],
    ['a bill issued at no time', 'update bills set issued_at = null', 'issued_at_known'],
    [
      'a period that ends before it begins',
      `update bills set period_end = '2000-01-01'`,
      'period_in_order',
    ],
    ['a bill moved to someone else', `update bills set user_id = 'usr_x'`, 'foreign key'],
    [
      'a customer number with letters',
      `update utility_accounts set customer_number = '1234567a'`,
      'customer_number_form',
    ],
  ])('refuses %s', async (_what, statement, reason) => {
    const owner = { userId: newId('usr') }
    await account(database, owner, [bill('2026-09-01')])
    await expect(postgres.query(statement)).rejects.toThrow(reason)
  })

  test('refuses a second bill for a period of an account', async () => {
    const owner = { userId: newId('usr') }
    const linked = await account(database, owner, [bill('2026-09-01')])
    expect(await linked.add([bill('2026-09-01'), bill('2026-10-01')])).toBe(1)
    const copy = `insert into bills select 'bil_copy', user_id, provider_id, customer_number, lifecycle, currency,
      total_minor, paid_minor, period_start, period_end, due_date, issued_at from bills where user_id = $1 limit 1`
    await expect(postgres.query(copy, [owner.userId])).rejects.toThrow('bill_of_period')
  })

  test('the list reads an index in order instead of sorting', async () => {
    const plan = await postgres.query(
      `set enable_seqscan = off; set enable_bitmapscan = off;
       explain select id from bills where user_id = 'u' and (due_date, id) < ('2026-01-01', 'x')
       order by due_date desc, id desc limit 20`,
    )
    const text = plan.map((row) => row['QUERY PLAN']).join('\n')
    expect(text).toContain('bills_of_user')
    expect(text).not.toContain('Sort')
  })
})
