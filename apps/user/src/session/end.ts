import type { Kysely } from 'kysely'
import type { DB } from '../schema.ts'
import { revocationLifeMs } from './rules.ts'

export type EndReason =
  | 'logout'
  | 'ended by its owner'
  | 'more than the permitted number'
  | 'refresh token reused'
  | 'unusual use'
  | 'password changed'
  | 'account disabled'
  | 'ended by an operator'

/** Which sessions: by id, or all of a user, perhaps but one. Those that are over already are left alone. */
export type Which =
  | { readonly ids: readonly string[]; readonly userId?: string }
  | { readonly userId: string; readonly except?: string | undefined }

/**
 * Ends sessions and revokes what was issued in them, in one transaction with whatever is the reason. Returns the ids of
 * those that it ended. Publish afterwards (`publisher.flush`); the sweep does it otherwise.
 */
export async function endSessions(
  trx: Kysely<DB>,
  which: Which,
  reason: EndReason,
  nowMs: number,
): Promise<string[]> {
  const { userId } = which
  let update = trx
    .updateTable('sessions')
    .set({ ended_at: new Date(nowMs), end_reason: reason })
    .where('ended_at', 'is', null)
  if (userId !== undefined) update = update.where('user_id', '=', userId)
  if ('ids' in which) update = update.where('id', 'in', [...which.ids, ''])
  else if (which.except !== undefined) update = update.where('id', '!=', which.except)
  const ended = await update.returning('id').execute()
  const ids = ended.map(({ id }) => id)
  await revoke(trx, ids, reason, nowMs)
  return ids
}

/** Revokes access tokens, sessions or families by id. */
export async function revoke(
  trx: Kysely<DB>,
  ids: readonly string[],
  reason: string,
  nowMs: number,
): Promise<void> {
  if (ids.length === 0) return
  const rows = ids.map((id) => ({ id, reason, ...lifeOf(nowMs) }))
  await trx.insertInto('revocations').values(rows).execute()
}

/**
 * Revokes every access token that a user was issued before this second. What was issued within it is caught by the
 * revocation of its session, so a login right afterwards is not hit.
 */
export async function revokeUser(
  trx: Kysely<DB>,
  userId: string,
  reason: string,
  nowMs: number,
): Promise<void> {
  const issuedBefore = new Date(Math.floor(nowMs / 1000) * 1000)
  await trx
    .insertInto('revocations')
    .values({ id: userId, reason, issued_before: issuedBefore, ...lifeOf(nowMs) })
    .execute()
}

const lifeOf = (nowMs: number) => ({
  created_at: new Date(nowMs),
  expires_at: new Date(nowMs + revocationLifeMs),
})
