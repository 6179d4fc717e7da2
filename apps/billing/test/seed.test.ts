import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { newId } from '@wattle/contracts'
import { openDatabase, type Database } from '@wattle/database'
import type { TestDatabase } from '@wattle/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { billsStore } from '../src/bills-store.ts'
import type { DB } from '../src/schema.ts'
import { seedBills } from '../src/seed.ts'
import { startTestDatabase } from './world.ts'

const people = [newId('usr'), newId('usr'), newId('usr')]

let postgres: TestDatabase
let database: Database<DB>
beforeEach(async () => {
  postgres = await startTestDatabase()
  database = openDatabase<DB>({ url: postgres.url, name: 'seed-test' })
  return async () => {
    await database.close()
    await postgres.drop()
  }
})

/** What a person sees, without the ids, which are new in each database. */
async function shown(userId: string, today: string, from = database) {
  const bills = await billsStore(from).billsOf(userId, { today, filters: {}, limit: 100 })
  return bills.map((bill) => JSON.stringify({ ...bill, id: undefined })).toSorted()
}
const states = async (userId: string, today: string) => {
  const bills = await billsStore(database).billsOf(userId, { today, filters: {}, limit: 100 })
  return new Set(bills.map((bill) => bill.state))
}

describe('S3 demo bills', () => {
  test('each person has six months of four utilities, in every state, on every day of a month', async () => {
    await seedBills(database, people, '2026-11-10')
    for (const userId of people) {
      for (const today of ['2026-11-01', '2026-11-10', '2026-11-30']) {
        expect(await shown(userId, today)).toHaveLength(24)
        expect(await states(userId, today)).toEqual(
          new Set(['open', 'partially_paid', 'paid', 'overdue', 'void']),
        )
      }
    }
    const drafts = await postgres.query(
      `select user_id, count(*)::int as count from bills where lifecycle = 'draft' group by 1`,
    )
    expect(drafts.map((row) => row['count'])).toEqual([1, 1, 1])
  })

  test('running it again in the same month adds nothing and changes nothing', async () => {
    expect(await seedBills(database, people, '2026-11-10')).toBe(75)
    const [userId = ''] = people
    const before = await shown(userId, '2026-11-10')
    await postgres.query(
      `update bills set paid_minor = total_minor
       where id = (select id from bills where lifecycle = 'issued' and paid_minor = 0 and user_id = $1 limit 1)`,
      [userId],
    )
    const changed = await shown(userId, '2026-11-10')
    expect(changed).not.toEqual(before)
    expect(await seedBills(database, people, '2026-11-30')).toBe(0)
    expect(await shown(userId, '2026-11-10')).toEqual(changed)
  })

  test('is the same in another database', async () => {
    const other = await startTestDatabase()
    const otherDatabase = openDatabase<DB>({ url: other.url, name: 'seed-test' })
    await seedBills(database, people, '2026-11-10')
    await seedBills(otherDatabase, people.toReversed(), '2026-11-20')
    for (const userId of people) {
      expect(await shown(userId, '2026-11-10')).toEqual(
        await shown(userId, '2026-11-10', otherDatabase),
      )
    }
    await otherDatabase.close()
    await other.drop()
  })

  test('in a later month the bills since are added', async () => {
    await seedBills(database, people, '2026-11-10')
    // three utilities have a new month; of electricity it is there as a draft, and a new draft comes
    expect(await seedBills(database, people, '2026-12-01')).toBe(4 * people.length)
  })

  test('two at once do not disturb each other', async () => {
    const seeds = await Promise.all([1, 2].map(() => seedBills(database, people, '2026-11-10')))
    expect(seeds[0]! + seeds[1]!).toBe(75)
  })
})

describe('the seed command', () => {
  const command = fileURLToPath(new URL('../src/seed.ts', import.meta.url))
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'wattle-seed-'))
  })
  afterEach(() => rm(directory, { recursive: true }))

  const call = (file: string, env: Record<string, string>) =>
    promisify(execFile)(process.execPath, [command, file], { env })

  test('reads the people file and says what it did', async () => {
    const file = join(directory, 'people.json')
    await writeFile(file, JSON.stringify(people.map((id) => ({ id, name: 'Ada', email: 'x' }))))
    const { stdout } = await call(file, { DATABASE_URL_BILLING: postgres.url })
    expect(stdout).toBe('billing: 75 bills added for 3 people\n')
  })

  test('stops with one sentence without its variable, or with another file', async () => {
    const file = join(directory, 'people.json')
    await writeFile(file, '[{ "id": 1 }]')
    await expect(call(file, {})).rejects.toThrow(/billing seed:.*DATABASE_URL_BILLING/)
    const wrong = call(file, { DATABASE_URL_BILLING: postgres.url })
    await expect(wrong).rejects.toThrow('is not a list of people with ids')
  })
})
