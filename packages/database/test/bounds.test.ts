import { AppError } from '@wattle/contracts'
import { eventually, startDatabase, type TestDatabase } from '@wattle/testkit'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase, type Database } from '../src/index.ts'

describe('time bounds', () => {
  let test: TestDatabase
  let database: Database<{ things: { id: number } }>
  let admin: Database<Record<string, never>>

  beforeAll(async () => {
    test = await startDatabase()
    await test.query('create table things (id int primary key)')
    database = openDatabase({
      url: test.url,
      name: 'bounds-test',
      poolSize: 2,
      poolWaitMs: 300,
      statementTimeoutMs: 1_000,
      lockTimeoutMs: 200,
    })
    admin = openDatabase({ url: test.adminUrl, name: 'bounds-test-admin' })
  })
  afterAll(async () => {
    await database.close()
    await admin.close()
    await test.drop()
  })

  const sleep = (target: Pick<typeof database, 'kysely'>, seconds: number) =>
    sql`select pg_sleep(${seconds})`.execute(target.kysely)
  /** How many statements sleep on the server; only the superuser sees what others run. */
  const sleepers = async () => {
    const { rows } = await sql<{ count: number }>`
      select count(*) as count from pg_stat_activity
      where state = 'active' and query like '%pg_sleep%' and pid <> pg_backend_pid()
        and datname = current_database()`.execute(admin.kysely)
    return rows[0]?.count
  }

  it('the connections show the name of the application', async () => {
    const { rows } = await sql<{ name: string }>`
      select current_setting('application_name') as name`.execute(database.kysely)
    expect(rows).toEqual([{ name: 'bounds-test' }])
  })

  it('a statement past the statement time-out ends on the server as well', async () => {
    const slow = sleep(database, 20).catch((error: unknown) => error)
    await eventually(async () => expect(await sleepers()).toBe(1))
    expect(await slow).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await eventually(async () => expect(await sleepers()).toBe(0))
  })

  it('when a deadline passes the statement is cancelled on the server and the connection is replaced', async () => {
    const patient = openDatabase<Record<string, never>>({
      url: test.url,
      name: 'patient',
      poolSize: 1,
      statementTimeoutMs: 30_000,
    })
    const startedAt = performance.now()
    const late = sleep(patient.within(AbortSignal.timeout(300)), 20)
    await eventually(async () => expect(await sleepers()).toBe(1))
    await expect(late).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(performance.now() - startedAt).toBeLessThan(800)
    await eventually(async () => expect(await sleepers()).toBe(0), { withinMs: 2_000 })
    await sleep(patient, 0)
    await patient.close()
  })

  it("the reason of the signal is what the caller gets, where it is one of Wattle's errors", async () => {
    const reason = new AppError('UNAVAILABLE', 'The service is stopping')
    const aborted = sleep(database.within(AbortSignal.abort(reason)), 0)
    await expect(aborted).rejects.toBe(reason)
  })

  it('a deadline ends the wait for a connection, and the connection is not lost', async () => {
    const busy = [sleep(database, 0.2), sleep(database, 0.2)]
    const late = sleep(database.within(AbortSignal.timeout(50)), 0)
    await expect(late).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await Promise.all(busy)
    await eventually(() => expect(database.stats()).toMatchObject({ idle: 2, waiting: 0 }))
  })

  it('a deadline rolls a transaction back', async () => {
    const late = database.within(AbortSignal.timeout(100)).transaction(async (trx) => {
      await trx.insertInto('things').values({ id: 1 }).execute()
      await sql`select pg_sleep(20)`.execute(trx)
    })
    await expect(late).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(await test.query('select * from things where id = 1')).toEqual([])
  })

  it('more callers than connections wait for a bounded time', async () => {
    const callers = Array.from({ length: 4 }, () => sleep(database, 0.5))
    const outcomes = await Promise.allSettled(callers)
    const failed = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(failed).toHaveLength(2)
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('a busy pool does not make the database unhealthy', async () => {
    const busy = new AbortController()
    const keepBusy = async () => {
      while (!busy.signal.aborted) await sleep(database, 0.1).catch(() => {})
    }
    // six callers for two connections: who asks now waits for about 200 ms
    const callers = Array.from({ length: 6 }, keepBusy)
    try {
      await eventually(() => expect(database.stats().waiting).toBeGreaterThan(2))
      await expect(database.health(130)).resolves.toBeUndefined()
    } finally {
      busy.abort()
      await Promise.all(callers)
    }
  })

  it('a lock that is not given ends the wait', async () => {
    await database.kysely.insertInto('things').values({ id: 7 }).execute()
    await database.transaction(async (holder) => {
      const lock = sql`select * from things where id = 7 for update`
      await lock.execute(holder)
      await expect(lock.execute(database.kysely)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    })
  })

  it('closing waits for the statement that runs, and may be repeated', async () => {
    const other = openDatabase<Record<string, never>>({ url: test.url, name: 'closing' })
    const running = sql<{ one: number }>`select 1 as one, pg_sleep(0.1)`.execute(other.kysely)
    await eventually(() => expect(other.stats().size).toBe(1))
    const closed = Promise.all([other.close(), other.close()])
    expect((await running).rows).toMatchObject([{ one: 1 }])
    await closed
  })
})
