import type { SessionStatistics } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { sql } from 'kysely'
import type { DB } from '../schema.ts'

/** Sessions, families and revocations of the whole platform, counted in the database. */
export async function sessionStatistics(
  { kysely }: Pick<Database<DB>, 'kysely'>,
  nowMs: number,
): Promise<SessionStatistics> {
  const at = new Date(nowMs)
  const { rows } = await sql<SessionStatistics>`
    select
      (select count(*) from sessions where ended_at is null and idle_expires_at > ${at}) as active,
      (select count(*) from sessions) as total,
      (select count(*) from sessions where ended_at is null and idle_expires_at > ${at}) as families,
      (select coalesce(sum(generation), 0) from sessions) as "refreshTokensIssued",
      (select count(*) from revocations where expires_at > ${at}) as revoked,
      (select count(*) from security_events
        where type = 'token.reuse_detected' and at > ${at}::timestamptz - interval '30 days')
        as "reuseDetected"`.execute(kysely)
  const [row] = rows
  if (row === undefined) throw new Error('no statistics')
  return row
}
