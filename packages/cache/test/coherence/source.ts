import { Pool } from 'pg'
import type { TestDatabase } from '@wattle/testkit'
import type { Commit } from './history.ts'
import { ownerOf, rowCount, type Value } from './plan.ts'

/** The table that is cached, and the book in which each transaction notes its own commit. */
export async function createSource(database: TestDatabase): Promise<void> {
  await database.query('create table rows (id int primary key, version int not null)')
  await database.query(
    'create table commits (row_id int not null, version int not null, at_ms float8 not null)',
  )
  await database.query(
    `insert into rows select id, 1 from generate_series(0, ${rowCount - 1}) as id`,
  )
}

/** What every process does with the table. */
export function openSource(url: string) {
  const pool = new Pool({ connectionString: url, max: 12 })
  pool.on('error', () => undefined)
  return {
    async load(row: number): Promise<Value> {
      const [found] = (
        await pool.query<{ version: number }>('select version from rows where id = $1', [row])
      ).rows
      if (!found) throw new Error(`row ${row} is not there`)
      return { row, version: found.version, owner: ownerOf(row, found.version) }
    },
    /** Commits the next version of a row, and when. */
    async write(row: number): Promise<Value> {
      const [written] = (
        await pool.query<{ version: number }>(
          `with next as (update rows set version = version + 1 where id = $1 returning id, version)
           insert into commits select id, version, extract(epoch from clock_timestamp()) * 1000 from next
           returning version`,
          [row],
        )
      ).rows
      if (!written) throw new Error(`row ${row} is not there`)
      return { row, version: written.version, owner: ownerOf(row, written.version) }
    },
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
