import { readFileSync } from 'node:fs'
import { Pool, type PoolClient } from 'pg'
import type { TestDatabase } from '@wattle/testkit'
import { outboxMigration, type SqlQuery } from '../../src/index.ts'
import type { Commit } from './history.ts'
import { valueOf, type Value } from './plan.ts'

/** The table that is cached, and the book in which each transaction notes its own commit. */
export async function createSource(database: TestDatabase, rowCount: number): Promise<void> {
  await database.query(
    'create table rows (id int primary key, version int not null, fence int8 not null default 0)',
  )
  await database.query(
    'create table commits (row_id int not null, version int not null, at_ms float8 not null)',
  )
  await database.query(readFileSync(outboxMigration, 'utf8'))
  await database.query(
    `insert into rows select id, 1 from generate_series(0, ${rowCount - 1}) as id`,
  )
}

/** Under a lock: its fencing token. */
export type WriteOptions = { token?: number | undefined }

/** The source has seen a greater fencing token. */
export class FenceError extends Error {
  override readonly name = 'FenceError'
}

/** Whether that says that another transaction has kept the row for too long: that of a process that stands still. */
export const isRowKept = (cause: unknown): boolean => (cause as { code?: unknown }).code === '55P03'

/** What every process does with the table. */
export function openSource(url: string) {
  const pool = new Pool({ connectionString: url, max: 12, options: '-c lock_timeout=1000' })
  pool.on('error', () => undefined)
  return {
    async load(row: number): Promise<Value> {
      const [found] = (
        await pool.query<{ version: number }>('select version from rows where id = $1', [row])
      ).rows
      if (!found) throw new Error(`row ${row} is not there`)
      return valueOf(row, found.version)
    },
    /** Commits the next version of a row, and notes when. Rejects with FenceError where its token is too small. */
    write: (row: number, options?: WriteOptions) => next(pool, row, options),
    /** The same in a transaction with something else, which may use the new value. */
    async writeWith(
      row: number,
      also: (query: SqlQuery, value: Value) => Promise<void>,
      options?: WriteOptions,
    ): Promise<Value> {
      const client = await pool.connect()
      try {
        await client.query('begin')
        const value = await next(client, row, options)
        await also(queryOf(client), value)
        await client.query('commit')
        return value
      } catch (cause) {
        await client.query('rollback').catch(() => {})
        throw cause
      } finally {
        client.release()
      }
    },
    query: queryOf(pool),
    /** The present version of each row. */
    async versions(): Promise<number[]> {
      const { rows } = await pool.query<{ version: number }>('select version from rows order by id')
      return rows.map(({ version }) => version)
    },
    async commits(): Promise<Commit[]> {
      const { rows } = await pool.query<{ row: number; version: number; atMs: number }>(
        'select row_id as row, version, at_ms as "atMs" from commits order by row_id, version',
      )
      return rows
    },
    close: () => pool.end(),
  }
}

export type Source = ReturnType<typeof openSource>

const queryOf =
  (at: Pool | PoolClient): SqlQuery =>
  async (sql, values) =>
    (await at.query<Record<string, unknown>>(sql, [...values])).rows

async function next(
  at: Pool | PoolClient,
  row: number,
  { token = 0 }: WriteOptions = {},
): Promise<Value> {
  const [written] = (
    await at.query<{ version: number }>(
      `with next as (
         update rows set version = version + 1, fence = $2 where id = $1 and fence <= $2 returning id, version)
       insert into commits select id, version, extract(epoch from clock_timestamp()) * 1000 from next
       returning version`,
      [row, token],
    )
  ).rows
  if (!written) throw new FenceError(`row ${row} was written under a greater token than ${token}`)
  return valueOf(row, written.version)
}
