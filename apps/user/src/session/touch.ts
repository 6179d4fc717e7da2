import type { Database } from '@wattle/database'
import { sql } from 'kysely'
import type { DB } from '../schema.ts'
import type { Origin } from './origin.ts'
import type { SessionRules } from './rules.ts'

const rememberedSessions = 20_000

/**
 * Notes that a session was used: when and where, and that it lives on. Written at most once in `touchEveryMs` for each
 * session, whatever the number of processes: each remembers its own last one, and the statement looks too. A session
 * that has ended, or that was idle for too long, is not revived.
 */
export function sessionTouch({
  database,
  rules,
  now,
}: {
  database: Database<DB>
  rules: SessionRules
  now: () => number
}) {
  const touched = new Map<string, number>()

  /** Whether this process should write it down; from then on not for a while. */
  function isDue(sessionId: string): boolean {
    const nowMs = now()
    const lastMs = touched.get(sessionId)
    if (lastMs !== undefined && Math.abs(nowMs - lastMs) < rules.touchEveryMs) return false
    if (touched.size >= rememberedSessions) touched.clear()
    touched.set(sessionId, nowMs)
    return true
  }

  async function write(sessionId: string, origin: Origin): Promise<boolean> {
    const nowMs = now()
    const idle = new Date(nowMs + rules.idleMs)
    const { numUpdatedRows } = await database.kysely
      .updateTable('sessions')
      .set({
        last_seen_at: new Date(nowMs),
        idle_expires_at: sql`least(${idle}::timestamptz, expires_at)`,
        // Network and country stay as they were at the last refresh: that is what the next one is compared with.
        address: origin.address,
      })
      .where('id', '=', sessionId)
      .where('ended_at', 'is', null)
      .where('idle_expires_at', '>', new Date(nowMs))
      .where('last_seen_at', '<=', new Date(nowMs - rules.touchEveryMs))
      .executeTakeFirst()
    return numUpdatedRows > 0n
  }

  return { isDue, write }
}

export type SessionTouch = ReturnType<typeof sessionTouch>
