import type { Database } from '@wattle/database'
import { sql } from 'kysely'
import type { DB } from './schema.ts'

const dayMs = 24 * 60 * 60_000
const portion = 5_000

/** What is deleted, and how long after it is over. The order matters not: nothing here refers to another. */
const rules = [
  { table: 'sessions', column: 'expires_at', keptMs: 30 * dayMs },
  { table: 'revocations', column: 'expires_at', keptMs: 60 * 60_000 },
  { table: 'login_attempts', column: 'window_ends_at', keptMs: 0 },
  { table: 'one_time_codes', column: 'expires_at', keptMs: 7 * dayMs },
  { table: 'security_events', column: 'at', keptMs: 365 * dayMs },
] as const

/** Deletes what is over, a portion at a time, so that no statement is long. Any copy may do it, several at once too. */
export async function cleanUp(
  { kysely }: Pick<Database<DB>, 'kysely'>,
  nowMs: number,
): Promise<number> {
  let deleted = 0
  for (const { table, column, keptMs } of rules) {
    const before = new Date(nowMs - keptMs)
    for (let count = portion; count === portion; deleted += count) {
      const { numAffectedRows = 0n } = await sql`
        delete from ${sql.table(table)} where ctid in (
          select ctid from ${sql.table(table)} where ${sql.ref(column)} < ${before} limit ${portion}
        )`.execute(kysely)
      count = Number(numAffectedRows)
    }
  }
  return deleted
}

/** Cleans up now and then until it is closed. */
export function startJanitor(deps: {
  database: Database<DB>
  now?: () => number
  everyMs?: number
  log: { warn(fields: object, message: string): void }
}) {
  const { database, now = Date.now, everyMs = 10 * 60_000, log } = deps
  const timer = setInterval(() => {
    cleanUp(database, now()).catch((error: unknown) =>
      log.warn({ err: error }, 'what is over could not be deleted; trying again later'),
    )
  }, everyMs)
  timer.unref()
  return { close: () => clearInterval(timer) }
}
