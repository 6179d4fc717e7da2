import { AppError } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { hashOpaqueToken, type RefreshTokens } from '@wattle/identity'
import type { Kysely } from 'kysely'
import type { DB } from '../schema.ts'
import { recordSecurityEvents } from '../security/events-store.ts'
import type { Continued } from './begin.ts'
import { endSessions, revoke } from './end.ts'
import type { Origin } from './origin.ts'
import type { SessionRules } from './rules.ts'
import { signsOf, wakingOf, type Waking } from './signs.ts'
import { isLive, lockSession, type SessionRow } from './store.ts'

export type RefreshDeps = {
  readonly database: Database<DB>
  readonly refreshTokens: RefreshTokens
  readonly rules: SessionRules
  readonly now: () => number
}

/** How a refresh ended. All but `continued` answer the same 401, or ask for a login. */
export type Refreshed =
  | { readonly outcome: 'continued'; readonly session: Continued }
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'reused' | 'unusual' | 'over' }

/**
 * Exchanges a refresh token for its successor, in one transaction that holds the row of the session:
 *
 * - the good one is spent, and its successor, derived from it, is the good one from now on;
 * - its parent, and no other, gets the same successor again for `graceMs`, as long as that was not used itself: two tabs,
 *   or a reply that was lost, go on in one line;
 * - any other that was ever given out in the family was stolen, or its successor was: the family and the session end,
 *   all of it is revoked, and the security log says so.
 *
 * What ends a session is committed, also though the caller is refused. The family's end never moves.
 */
export async function refreshSession(
  deps: RefreshDeps,
  token: string,
  origin: Origin,
): Promise<Refreshed> {
  const hash = hashOpaqueToken(token)
  if (hash === undefined) return { outcome: 'refused' }
  return deps.database.transaction(async (trx) => {
    const known = await findToken(trx, hash)
    if (known === undefined) return { outcome: 'refused' }
    const row = await lockSession(trx, known.sessionId)
    // Read again under the lock: somebody may have spent it meanwhile.
    const presented = await findToken(trx, hash)
    if (row === undefined || presented === undefined || row.isEnded) return { outcome: 'refused' }
    const nowMs = deps.now()
    if (!isLive(row, nowMs)) return { outcome: 'over' }

    const user = await trx
      .selectFrom('users')
      .select(['roles', 'status'])
      .where('id', '=', row.userId)
      .executeTakeFirst()
    if (user?.status !== 'active') {
      await endSessions(trx, { ids: [row.id] }, 'account disabled', nowMs)
      return { outcome: 'refused' }
    }
    const { generation, spentAtMs } = presented
    const isParent = generation === row.generation - 1
    const isInGrace = spentAtMs !== undefined && nowMs - spentAtMs <= deps.rules.graceMs
    if (generation !== row.generation && !(isParent && isInGrace)) {
      await endForReuse(trx, row, origin, nowMs)
      return { outcome: 'reused' }
    }
    const waking = wakingOf(row, deps.rules, nowMs)
    if (await endForSigns(trx, deps.rules, row, origin, waking, nowMs)) {
      return { outcome: 'unusual' }
    }
    const refreshToken = isParent
      ? await successorAgain(trx, deps, hash, row)
      : await rotate(trx, deps, hash, row, nowMs)
    if (refreshToken === undefined) return { outcome: 'refused' }
    await noteUse(trx, deps.rules, row, origin, waking, nowMs)
    const { id: sessionId, familyId, userId, expiresAtMs } = row
    const { roles } = user
    const session = { sessionId, familyId, userId, roles, refreshToken, expiresAtMs }
    return { outcome: 'continued', session }
  })
}

async function findToken(trx: Kysely<DB>, hash: Buffer) {
  const row = await trx
    .selectFrom('refresh_tokens')
    .select(['session_id', 'generation', 'spent_at'])
    .where('hash', '=', hash)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const { session_id: sessionId, generation, spent_at: spentAt } = row
  return { sessionId, generation, spentAtMs: spentAt?.getTime() }
}

async function rotate(
  trx: Kysely<DB>,
  { refreshTokens }: RefreshDeps,
  parent: Buffer,
  row: SessionRow,
  nowMs: number,
): Promise<string> {
  const successor = refreshTokens.successor(parent, row.familyId)
  const hash = hashOpaqueToken(successor)
  if (hash === undefined) throw new Error('a derived refresh token is malformed')
  const at = new Date(nowMs)
  await trx.updateTable('refresh_tokens').set({ spent_at: at }).where('hash', '=', parent).execute()
  const generation = row.generation + 1
  await trx
    .insertInto('refresh_tokens')
    .values({ hash, session_id: row.id, generation, created_at: at })
    .execute()
  await trx.updateTable('sessions').set({ generation }).where('id', '=', row.id).execute()
  return successor
}

/** Undefined when no present key derives it: the key was replaced without overlap, within the grace. */
async function successorAgain(
  trx: Kysely<DB>,
  { refreshTokens }: RefreshDeps,
  parent: Buffer,
  row: SessionRow,
): Promise<string | undefined> {
  const child = await trx
    .selectFrom('refresh_tokens')
    .select('hash')
    .where('session_id', '=', row.id)
    .where('generation', '=', row.generation)
    .executeTakeFirst()
  return child && refreshTokens.successorStoredAs(parent, row.familyId, child.hash)
}

async function endForReuse(
  trx: Kysely<DB>,
  row: SessionRow,
  origin: Origin,
  nowMs: number,
): Promise<void> {
  await endSessions(trx, { ids: [row.id] }, 'refresh token reused', nowMs)
  await revoke(trx, [row.familyId], 'refresh token reused', nowMs)
  const { userId, id: sessionId } = row
  await recordSecurityEvents(trx, [
    { userId, type: 'token.reuse_detected', atMs: nowMs, origin, sessionId },
  ])
}

/** Writes down what is unusual, and ends the session where that demands a login. */
async function endForSigns(
  trx: Kysely<DB>,
  rules: SessionRules,
  row: SessionRow,
  origin: Origin,
  waking: Waking,
  nowMs: number,
): Promise<boolean> {
  const signs = signsOf(row, origin, waking, rules)
  const { userId, id: sessionId } = row
  await recordSecurityEvents(
    trx,
    signs.map((sign) => ({
      userId,
      type: `session.${sign}` as const,
      atMs: nowMs,
      origin,
      sessionId,
      detail: `before: ${row.device}, ${row.network}${row.country === null ? '' : `, ${row.country}`}`,
    })),
  )
  if (signs.every((sign) => rules.signs[sign] === 'record')) return false
  await endSessions(trx, { ids: [row.id] }, 'unusual use', nowMs)
  return true
}

async function noteUse(
  trx: Kysely<DB>,
  rules: SessionRules,
  row: SessionRow,
  origin: Origin,
  { wokeAtMs, usesSinceWaking }: Waking,
  nowMs: number,
): Promise<void> {
  await trx
    .updateTable('sessions')
    .set({
      last_seen_at: new Date(nowMs),
      idle_expires_at: new Date(Math.min(nowMs + rules.idleMs, row.expiresAtMs)),
      ...origin,
      woke_at: wokeAtMs === undefined ? null : new Date(wokeAtMs),
      uses_since_waking: usesSinceWaking,
    })
    .where('id', '=', row.id)
    .execute()
}

/** What the caller is told of a refresh that did not go on. */
export function refusalOf(outcome: Exclude<Refreshed['outcome'], 'continued'>): AppError {
  if (outcome === 'unusual') {
    return new AppError('FRESH_LOGIN_REQUIRED', 'Something about this is unusual; log in again.')
  }
  if (outcome === 'over') {
    return new AppError('FRESH_LOGIN_REQUIRED', 'This session is over; log in again.')
  }
  // Unknown, spent and revoked ones are told apart in the log, not out here.
  return new AppError('REFRESH_TOKEN_INVALID', 'Log in again.', { cause: new Error(outcome) })
}
