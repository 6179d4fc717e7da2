import type { Id, Session } from '@wattle/contracts'
import { sql, type Kysely } from 'kysely'
import type { DB } from '../schema.ts'
import type { Origin } from './origin.ts'

/** A session and its family, as the database has them. */
export type SessionRow = {
  readonly id: Id<'ses'>
  readonly userId: Id<'usr'>
  readonly familyId: Id<'fam'>
  readonly generation: number
  readonly name: string | null
  readonly device: string
  readonly address: string
  readonly network: string
  readonly country: string | null
  readonly createdAtMs: number
  readonly lastSeenAtMs: number
  readonly idleExpiresAtMs: number
  readonly expiresAtMs: number
  readonly wokeAtMs: number | undefined
  readonly usesSinceWaking: number
  readonly isEnded: boolean
}

const selectSessions = (kysely: Kysely<DB>) =>
  kysely
    .selectFrom('sessions')
    .selectAll('sessions')
    .select(sql<string>`host(address)`.as('host'))

type Selected = Awaited<ReturnType<ReturnType<typeof selectSessions>['executeTakeFirstOrThrow']>>

function toRow(row: Selected): SessionRow {
  return {
    id: row.id as Id<'ses'>,
    userId: row.user_id as Id<'usr'>,
    familyId: row.family_id as Id<'fam'>,
    generation: row.generation,
    name: row.name,
    device: row.device,
    address: row.host,
    network: row.network,
    country: row.country,
    createdAtMs: row.created_at.getTime(),
    lastSeenAtMs: row.last_seen_at.getTime(),
    idleExpiresAtMs: row.idle_expires_at.getTime(),
    expiresAtMs: row.expires_at.getTime(),
    wokeAtMs: row.woke_at?.getTime(),
    usesSinceWaking: row.uses_since_waking,
    isEnded: row.ended_at !== null,
  }
}

/** What people see of it. */
export function toSession(row: SessionRow): Session {
  const time = (ms: number) => new Date(ms).toISOString()
  return {
    id: row.id,
    name: row.name,
    device: row.device,
    address: row.address,
    country: row.country,
    firstSeenAt: time(row.createdAtMs),
    lastSeenAt: time(row.lastSeenAtMs),
    expiresAt: time(row.idleExpiresAtMs),
    freshLoginAt: time(row.expiresAtMs),
  }
}

/** Whether it can still be used. */
export function isLive(row: SessionRow, nowMs: number): boolean {
  return !row.isEnded && nowMs < row.idleExpiresAtMs && nowMs < row.expiresAtMs
}

/** The one with this id, locked until the transaction ends. */
export async function lockSession(trx: Kysely<DB>, id: string): Promise<SessionRow | undefined> {
  const row = await selectSessions(trx).where('id', '=', id).forUpdate().executeTakeFirst()
  return row && toRow(row)
}

/** The session of an access token, unless the account is disabled or that very token was revoked. */
export async function currentSession(
  kysely: Kysely<DB>,
  token: { userId: string; sessionId: string; tokenId?: string },
): Promise<SessionRow | undefined> {
  const row = await selectSessions(kysely)
    .innerJoin('users', 'users.id', 'sessions.user_id')
    .where('sessions.id', '=', token.sessionId)
    .where('sessions.user_id', '=', token.userId)
    .where('users.status', '=', 'active')
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('revocations')
            .select('id')
            .where('id', '=', token.tokenId ?? ''),
        ),
      ),
    )
    .executeTakeFirst()
  return row && toRow(row)
}

/** A person's sessions that can still be used, oldest first. */
export async function liveSessions(
  kysely: Kysely<DB>,
  userId: string,
  nowMs: number,
): Promise<SessionRow[]> {
  const rows = await selectSessions(kysely)
    .where('user_id', '=', userId)
    .where('ended_at', 'is', null)
    .where('idle_expires_at', '>', new Date(nowMs))
    .orderBy('created_at')
    .orderBy('id')
    .execute()
  return rows.map(toRow)
}

/** Where a person was logged in lately, ended sessions included. */
export async function knownOrigins(kysely: Kysely<DB>, userId: string) {
  return kysely
    .selectFrom('sessions')
    .select(['device', 'network', 'country'])
    .distinct()
    .where('user_id', '=', userId)
    .limit(200)
    .execute()
}

/** Stores a new one and the first token of its family. */
export async function insertSession(
  trx: Kysely<DB>,
  session: Pick<
    SessionRow,
    'id' | 'userId' | 'familyId' | 'name' | 'createdAtMs' | 'idleExpiresAtMs' | 'expiresAtMs'
  >,
  origin: Origin,
  refreshHash: Buffer,
): Promise<void> {
  const at = new Date(session.createdAtMs)
  await trx
    .insertInto('sessions')
    .values({
      id: session.id,
      user_id: session.userId,
      family_id: session.familyId,
      name: session.name,
      ...origin,
      created_at: at,
      last_seen_at: at,
      idle_expires_at: new Date(session.idleExpiresAtMs),
      expires_at: new Date(session.expiresAtMs),
    })
    .execute()
  await trx
    .insertInto('refresh_tokens')
    .values({ hash: refreshHash, session_id: session.id, generation: 1, created_at: at })
    .execute()
}

/** Gives it a name, or takes it away; undefined when the person has no such live session. */
export async function renameSession(
  kysely: Kysely<DB>,
  owner: { userId: string; sessionId: string },
  name: string | null,
  nowMs: number,
): Promise<SessionRow | undefined> {
  const changed = await kysely
    .updateTable('sessions')
    .set({ name })
    .where('id', '=', owner.sessionId)
    .where('user_id', '=', owner.userId)
    .where('ended_at', 'is', null)
    .where('idle_expires_at', '>', new Date(nowMs))
    .returning('id')
    .executeTakeFirst()
  if (changed === undefined) return undefined
  const row = await selectSessions(kysely).where('id', '=', changed.id).executeTakeFirst()
  return row && toRow(row)
}
