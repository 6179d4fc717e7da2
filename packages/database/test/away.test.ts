import { AppError } from '@wattle/contracts'
import {
  eventually,
  startDatabase,
  startProxy,
  type TestDatabase,
  type TestProxy,
} from '@wattle/testkit'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openDatabase, type Database } from '../src/index.ts'

/** Runs to its end and says how it failed and how long it took. */
async function failure(work: Promise<unknown>): Promise<{ error: unknown; tookMs: number }> {
  const startedAt = performance.now()
  try {
    await work
  } catch (error) {
    return { error, tookMs: performance.now() - startedAt }
  }
  throw new Error('it did not fail')
}

const code = (error: unknown) => (error instanceof AppError ? error.code : error)

describe('when the database is away', () => {
  let test: TestDatabase
  let proxy: TestProxy
  let url: string
  let database: Database<Record<string, never>>

  const one = (target: { kysely: typeof database.kysely } = database) =>
    sql<{ one: number }>`select 1 as one`.execute(target.kysely)

  beforeAll(async () => {
    test = await startDatabase()
    const { username, password, hostname, pathname } = new URL(test.url)
    proxy = await startProxy({ path: `${decodeURIComponent(hostname)}/.s.PGSQL.5432` })
    url = `postgresql://${username}:${password}@${proxy.host}:${proxy.port}${pathname}`
  })
  afterAll(async () => {
    await proxy.stop()
    await test.drop()
  })

  beforeEach(() => {
    database = openDatabase({
      url,
      name: 'away-test',
      poolSize: 3,
      connectionTimeoutMs: 400,
      poolWaitMs: 900,
      statementTimeoutMs: 600,
    })
    return async () => {
      await proxy.heal()
      await database.close()
    }
  })

  it('a server that is gone is UNAVAILABLE at once, the process lives, and it recovers by itself', async () => {
    await Promise.all([one(), one(), one()])
    const running = failure(sql`select pg_sleep(5)`.execute(database.kysely))
    await eventually(() => expect(database.stats()).toMatchObject({ size: 3, idle: 2 }))

    await proxy.refuse()
    expect(code((await running).error)).toBe('UNAVAILABLE')
    const refused = await failure(one())
    expect(code(refused.error)).toBe('UNAVAILABLE')
    expect(refused.tookMs).toBeLessThan(300)
    expect(code((await failure(database.health(300))).error)).toBe('UNAVAILABLE')

    await proxy.heal()
    await eventually(one)
    await database.health(1_000)
  })

  it('a transaction whose connection is lost is UNAVAILABLE and is not run again', async () => {
    let runs = 0
    const lost = failure(
      database.transaction(async (trx) => {
        runs += 1
        await sql`select 1`.execute(trx)
        await proxy.refuse()
        await sql`select 1`.execute(trx)
      }),
    )
    expect(code((await lost).error)).toBe('UNAVAILABLE')
    expect(runs).toBe(1)
    await proxy.heal()
    await eventually(one)
  })

  it('on a frozen server every query ends, health answers in its time, and it recovers by itself', async () => {
    await one()
    proxy.blackhole()
    const health = await failure(database.health(200))
    expect(code(health.error)).toBe('UNAVAILABLE')
    expect(health.tookMs).toBeLessThan(500)

    const failures = await Promise.all(Array.from({ length: 12 }, () => failure(one())))
    expect(new Set(failures.map(({ error }) => code(error)))).toEqual(new Set(['UNAVAILABLE']))
    // at most the wait for the pool, the statement, and what is allowed on top for cancelling it
    for (const { tookMs } of failures) expect(tookMs).toBeLessThan(900 + 600 + 500 + 500)
    const fast = failures.filter(({ tookMs }) => tookMs < 700)
    expect(fast.length).toBeGreaterThan(0) // those that could connect did not wait for the pool

    await proxy.heal()
    await eventually(one)
    await eventually(() => expect(database.stats()).toMatchObject({ waiting: 0 }))
    await database.health(1_000)
  })

  it('a deadline bounds a query on a frozen server too', async () => {
    await one()
    proxy.blackhole()
    const late = await failure(one(database.within(AbortSignal.timeout(100))))
    expect(code(late.error)).toBe('DEADLINE_EXCEEDED')
    expect(late.tookMs).toBeLessThan(100 + 250 + 250)
    await proxy.heal()
    await eventually(one)
  })

  it('connections that the server ends are UNAVAILABLE once and then replaced', async () => {
    await Promise.all([one(), one(), one()])
    const running = failure(sql`select pg_sleep(5)`.execute(database.kysely))
    await eventually(() => expect(database.stats()).toMatchObject({ size: 3, idle: 2 }))
    await test.disconnectAll()
    expect(code((await running).error)).toBe('UNAVAILABLE')
    await eventually(() => expect(database.stats()).toMatchObject({ size: 0 }))
    await one()
  })

  it('a server that was never there is UNAVAILABLE', async () => {
    const nowhere = openDatabase<Record<string, never>>({
      url: 'postgresql://someone:secret@127.0.0.1:1/nothing',
      name: 'away-test',
    })
    const { error } = await failure(sql`select 1`.execute(nowhere.kysely))
    expect(code(error)).toBe('UNAVAILABLE')
    expect((error as AppError).message).not.toContain('secret')
    await nowhere.close()
  })
})
