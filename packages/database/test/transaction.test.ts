import { startDatabase, type TestDatabase } from '@wattle/testkit'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isUniqueViolation, openDatabase, type Database } from '../src/index.ts'

type Schema = { counters: { id: string; value: number } }

/** Resolves everyone once `count` have arrived; later arrivals pass at once. */
function meeting(count: number) {
  const met = Promise.withResolvers<void>()
  let arrived = 0
  return () => {
    arrived += 1
    if (arrived === count) met.resolve()
    return met.promise
  }
}

describe('transaction', () => {
  let test: TestDatabase
  let database: Database<Schema>

  beforeAll(async () => {
    test = await startDatabase()
    await test.query('create table counters (id text primary key, value int not null)')
    database = openDatabase({ url: test.url, name: 'transaction-test' })
  })
  afterAll(async () => {
    await database.close()
    await test.drop()
  })
  beforeEach(async () => {
    await test.query(`truncate counters; insert into counters values ('a', 0), ('b', 0)`)
  })

  const valueOf = async (id: string) =>
    (await test.query('select value from counters where id = $1', [id]))[0]?.['value']

  it('commits what was done when the work resolves', async () => {
    const result = await database.transaction(async (trx) => {
      await trx.updateTable('counters').set({ value: 5 }).where('id', '=', 'a').execute()
      return 'done'
    })
    expect([result, await valueOf('a')]).toEqual(['done', 5])
  })

  it('rolls back, and passes on what the work threw', async () => {
    const reason = new Error('changed my mind')
    const failed = database.transaction(async (trx) => {
      await trx.updateTable('counters').set({ value: 5 }).where('id', '=', 'a').execute()
      throw reason
    })
    await expect(failed).rejects.toBe(reason)
    expect(await valueOf('a')).toBe(0)
  })

  it('runs again after a serialization failure, and no update is lost', async () => {
    const met = meeting(2)
    let runs = 0
    const increment = () =>
      database.transaction(
        async (trx) => {
          runs += 1
          const row = await trx
            .selectFrom('counters')
            .select('value')
            .where('id', '=', 'a')
            .executeTakeFirstOrThrow()
          await met()
          await trx
            .updateTable('counters')
            .set({ value: row.value + 1 })
            .where('id', '=', 'a')
            .execute()
        },
        { isolation: 'serializable' },
      )
    await Promise.all([increment(), increment()])
    expect(await valueOf('a')).toBe(2)
    expect(runs).toBe(3)
  })

  it('runs again after a failure at commit: write skew is found there', async () => {
    const met = meeting(2)
    // each reads both rows and writes one: only one order of the two is possible
    const work = (mine: string) =>
      database.transaction(
        async (trx) => {
          const { rows } = await sql<{ total: number }>`
            select sum(value)::int as total from counters`.execute(trx)
          await met()
          const value = (rows[0]?.total ?? 0) + 1
          await trx.updateTable('counters').set({ value }).where('id', '=', mine).execute()
        },
        { isolation: 'serializable' },
      )
    await Promise.all([work('a'), work('b')])
    expect(new Set([await valueOf('a'), await valueOf('b')])).toEqual(new Set([1, 2]))
  })

  it('runs again after a deadlock', async () => {
    const met = meeting(2)
    const increment = (
      trx: Parameters<Parameters<typeof database.transaction>[0]>[0],
      id: string,
    ) =>
      trx
        .updateTable('counters')
        .set((eb) => ({ value: eb('value', '+', 1) }))
        .where('id', '=', id)
        .execute()
    const both = (first: string, second: string) =>
      database.transaction(async (trx) => {
        await increment(trx, first)
        await met()
        await increment(trx, second)
      })
    await Promise.all([both('a', 'b'), both('b', 'a')])
    expect([await valueOf('a'), await valueOf('b')]).toEqual([2, 2])
  })

  it('gives up after its attempts, as UNAVAILABLE', async () => {
    let runs = 0
    const hopeless = database.transaction(
      async (trx) => {
        runs += 1
        await sql`do $$ begin raise exception using errcode = '40001'; end $$`.execute(trx)
      },
      { attempts: 3 },
    )
    await expect(hopeless).rejects.toMatchObject({ code: 'UNAVAILABLE', retryAfterSeconds: 1 })
    expect(runs).toBe(3)
  })

  it('does not run again after other errors', async () => {
    let runs = 0
    const failed = database.transaction(async (trx) => {
      runs += 1
      await trx.insertInto('counters').values({ id: 'a', value: 1 }).execute()
    })
    await expect(failed).rejects.toSatisfy((error) => isUniqueViolation(error, 'counters_pkey'))
    expect(runs).toBe(1)
  })

  it('gives the connection back whatever happens', async () => {
    const failing = Array.from({ length: 30 }, () =>
      database.transaction(async (trx) => {
        await sql`select nonsense`.execute(trx)
      }),
    )
    await Promise.allSettled(failing)
    expect(database.stats()).toMatchObject({ waiting: 0 })
    expect(database.stats().idle).toBe(database.stats().size)
  })
})
