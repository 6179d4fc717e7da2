import { newId, type Id } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { hashOpaqueToken, newOpaqueToken } from '@wattle/identity'
import type { Kysely } from 'kysely'
import type { DB } from '../schema.ts'
import {
  recordSecurityEvents,
  type NewSecurityEvent,
  type SecurityEventType,
} from '../security/events-store.ts'
import { endSessions } from './end.ts'
import type { Origin } from './origin.ts'
import type { SessionRules } from './rules.ts'
import { insertSession, knownOrigins, liveSessions } from './store.ts'

/** A session that has just begun or gone on, and the refresh token to go on with. */
export type Continued = {
  readonly sessionId: Id<'ses'>
  readonly familyId: Id<'fam'>
  readonly userId: Id<'usr'>
  readonly roles: readonly string[]
  readonly refreshToken: string
  readonly expiresAtMs: number
}

/**
 * Begins a session. The lock on the user's row lets the logins of one person happen one after another, so that no more
 * than `maxPerUser` are ever live, and makes a login lose against a change of the password or of the status that came
 * first: undefined then, since `passwordHash` is no longer the one that was checked.
 */
export async function beginSession(
  { database, rules, now }: { database: Database<DB>; rules: SessionRules; now: () => number },
  login: {
    readonly userId: Id<'usr'>
    readonly passwordHash: string
    readonly origin: Origin
    readonly name: string | null
  },
): Promise<(Continued & { readonly ended: number }) | undefined> {
  const { userId, origin, name } = login
  return database.transaction(async (trx) => {
    const user = await trx
      .selectFrom('users')
      .select(['roles', 'status', 'password_hash'])
      .where('id', '=', userId)
      .forUpdate()
      .executeTakeFirst()
    if (user?.status !== 'active' || user.password_hash !== login.passwordHash) return undefined

    const nowMs = now()
    const events = await newnessOf(trx, userId, origin, nowMs)
    const live = await liveSessions(trx, userId, nowMs)
    const surplus = live.slice(0, Math.max(0, live.length - rules.maxPerUser + 1))
    const ids = surplus.map(({ id }) => id)
    if (ids.length > 0) await endSessions(trx, { ids }, 'more than the permitted number', nowMs)

    const session = {
      id: newId('ses'),
      familyId: newId('fam'),
      userId,
      name,
      createdAtMs: nowMs,
      expiresAtMs: nowMs + rules.absoluteMs,
      idleExpiresAtMs: nowMs + Math.min(rules.idleMs, rules.absoluteMs),
    }
    const refreshToken = newOpaqueToken()
    const hash = hashOpaqueToken(refreshToken)
    if (hash === undefined) throw new Error('a new refresh token is malformed')
    await insertSession(trx, session, origin, hash)
    const { id: sessionId, familyId, expiresAtMs } = session
    await recordSecurityEvents(trx, [
      { userId, type: 'login.succeeded', atMs: nowMs, origin, sessionId },
      ...events.map((event) => ({ ...event, sessionId })),
      ...ids.map((id) => ({
        userId,
        type: 'session.ended' as const,
        atMs: nowMs,
        sessionId: id,
        detail: 'more than the permitted number',
      })),
    ])
    const { roles } = user
    return { sessionId, familyId, userId, roles, refreshToken, expiresAtMs, ended: ids.length }
  })
}

/** What of this login's origin the person was never seen with; nothing at the very first login. */
async function newnessOf(
  trx: Kysely<DB>,
  userId: string,
  origin: Origin,
  atMs: number,
): Promise<NewSecurityEvent[]> {
  const known = await knownOrigins(trx, userId)
  if (known.length === 0) return []
  const types: SecurityEventType[] = []
  const isNew = (field: 'device' | 'network' | 'country') =>
    known.every((one) => one[field] !== origin[field])
  if (origin.country !== null && isNew('country')) types.push('login.new_country')
  if (isNew('network')) types.push('login.new_network')
  if (isNew('device')) types.push('login.new_device')
  return types.map((type) => ({ userId, type, atMs, origin }))
}
