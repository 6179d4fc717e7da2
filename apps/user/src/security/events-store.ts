import { newId, type Id, type SecurityEvent } from '@wattle/contracts'
import { sql, type Kysely } from 'kysely'
import type { DB } from '../schema.ts'
import type { Origin } from '../session/origin.ts'

/** Everything that the security log knows of; a severity belongs to each. */
const severities = {
  'account.opened': 'info',
  'account.disabled': 'warning',
  'account.enabled': 'info',
  'email.verified': 'info',
  'login.succeeded': 'info',
  'login.failed': 'warning',
  'login.locked': 'warning',
  'login.new_country': 'warning',
  'login.new_network': 'info',
  'login.new_device': 'info',
  'password.reset_requested': 'info',
  'password.reset': 'warning',
  'password.changed': 'warning',
  'session.ended': 'info',
  'session.revoked': 'warning',
  'session.country_changed': 'critical',
  'session.device_changed': 'critical',
  'session.network_changed': 'info',
  'session.idle_then_busy': 'critical',
  'token.reuse_detected': 'critical',
  'token.revoked': 'warning',
} as const satisfies Record<string, SecurityEvent['severity']>

export type SecurityEventType = keyof typeof severities

export type NewSecurityEvent = {
  readonly userId: string
  readonly type: SecurityEventType
  readonly atMs: number
  readonly origin?: Origin | undefined
  readonly sessionId?: string | undefined
  readonly detail?: string | undefined
  /** Who did it, where it was not the person. */
  readonly actorId?: string | undefined
}

/** Adds to the security log, in the transaction of what it tells of. */
export async function recordSecurityEvents(
  kysely: Kysely<DB>,
  events: readonly NewSecurityEvent[],
): Promise<void> {
  if (events.length === 0) return
  const rows = events.map(({ userId, type, atMs, origin, sessionId, detail, actorId }) => ({
    id: newId('sev'),
    user_id: userId,
    type,
    severity: severities[type],
    at: new Date(atMs),
    session_id: sessionId ?? null,
    device: origin?.device ?? null,
    address: origin?.address ?? null,
    country: origin?.country ?? null,
    detail: detail ?? null,
    actor_id: actorId ?? null,
  }))
  await kysely.insertInto('security_events').values(rows).execute()
}

/** The newest first; those before `before`, where it is given. */
export async function readSecurityEvents(
  kysely: Kysely<DB>,
  userId: string,
  { limit, before }: { limit: number; before: readonly [at: string, id: string] | undefined },
): Promise<SecurityEvent[]> {
  let query = kysely
    .selectFrom('security_events')
    .select(['id', 'type', 'severity', 'at', 'session_id', 'device', 'country', 'detail'])
    .select(sql<string | null>`host(address)`.as('address'))
    .where('user_id', '=', userId)
  if (before !== undefined) {
    query = query.where(
      sql<boolean>`(date_trunc('milliseconds', at), id) < (${before[0]}::timestamptz, ${before[1]})`,
    )
  }
  const rows = await query.orderBy('at', 'desc').orderBy('id', 'desc').limit(limit).execute()
  return rows.map((row) => ({
    id: row.id as Id<'sev'>,
    type: row.type,
    severity: row.severity as SecurityEvent['severity'],
    at: row.at.toISOString(),
    sessionId: row.session_id as Id<'ses'> | null,
    device: row.device,
    address: row.address,
    country: row.country,
    detail: row.detail,
  }))
}
