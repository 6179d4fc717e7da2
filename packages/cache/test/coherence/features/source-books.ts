import type { TestDatabase } from '@wattle/testkit'
import type { SqlQuery } from '../../../src/index.ts'
import type { Delivery, Fenced } from './facts.ts'

/** Books of the source for rows that are written behind, or under a lock. */
export async function createBooks(database: TestDatabase): Promise<void> {
  await database.query(
    `create table deliveries (
       row_id int not null, value int not null, version int8 not null, refused bool not null,
       at_ms float8 not null default extract(epoch from clock_timestamp()) * 1000)`,
  )
  await database.query(
    `create table fenced (number bigserial primary key, row_id int not null, token int8 not null, holder text not null)`,
  )
}

/** Writes changes, each unless the row has a newer one, and notes what became of it. */
export async function deliver(
  query: SqlQuery,
  changes: readonly { row: number; value: number; version: number }[],
): Promise<void> {
  await query(
    `with given as (select * from unnest($1::int[], $2::int[], $3::int8[]) as one (id, value, version)),
          done as (
            update rows set version = given.value, fence = given.version from given
            where rows.id = given.id and rows.fence <= given.version returning rows.id)
     insert into deliveries (row_id, value, version, refused)
     select id, value, version, id not in (select id from done) from given`,
    [
      changes.map(({ row }) => row),
      changes.map(({ value }) => value),
      changes.map(({ version }) => version),
    ],
  )
}

/** Shows the source a token, so that it refuses smaller ones. Whether it was the greatest so far. */
export async function fence(query: SqlQuery, { row, token, holder }: Fenced): Promise<boolean> {
  const taken = await query(
    `with shown as (update rows set fence = $2 where id = $1 and fence <= $2 returning id)
     insert into fenced (row_id, token, holder) select id, $2, $3 from shown returning number`,
    [row, token, holder],
  )
  return taken.length > 0
}

/** What the books say. */
export async function readBooks(
  query: SqlQuery,
): Promise<{ deliveries: Delivery[]; fenced: Fenced[] }> {
  const deliveries = await query(
    `select row_id as row, value, version::float8, refused, at_ms as "atMs" from deliveries order by at_ms`,
    [],
  )
  const fenced = await query(
    'select row_id as row, token::float8, holder from fenced order by number',
    [],
  )
  return { deliveries: deliveries as Delivery[], fenced: fenced as Fenced[] }
}

/** Of each row the version that write-behind or a lock gave to what it has. */
export async function fences(query: SqlQuery): Promise<number[]> {
  const rows = await query('select fence::float8 from rows order by id', [])
  return rows.map((row) => row['fence'] as number)
}
