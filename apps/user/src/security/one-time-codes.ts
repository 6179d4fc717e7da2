import type { Id } from '@wattle/contracts'
import { hashOpaqueToken, newOpaqueToken } from '@wattle/identity'
import type { Kysely } from 'kysely'
import type { DB } from '../schema.ts'

export type Purpose = 'verify_email' | 'reset_password'

export const codeLifeMs: Readonly<Record<Purpose, number>> = {
  verify_email: 24 * 60 * 60_000,
  reset_password: 30 * 60_000,
}
const perHour = 3
const hourMs = 60 * 60_000

/**
 * A new code for this purpose, which takes the place of earlier ones. Undefined when three were made within an hour: a
 * mailbox cannot be flooded. Only its hash is stored. Call it with the user's row locked.
 */
export async function createCode(
  trx: Kysely<DB>,
  user: { readonly id: string; readonly email: string },
  purpose: Purpose,
  nowMs: number,
): Promise<string | undefined> {
  const recent = await trx
    .selectFrom('one_time_codes')
    .select('hash')
    .where('user_id', '=', user.id)
    .where('purpose', '=', purpose)
    .where('created_at', '>', new Date(nowMs - hourMs))
    .execute()
  if (recent.length >= perHour) return undefined
  await voidCodes(trx, user.id, purpose, nowMs)
  const code = newOpaqueToken()
  const hash = hashOpaqueToken(code)
  if (hash === undefined) throw new Error('a new code is malformed')
  await trx
    .insertInto('one_time_codes')
    .values({
      hash,
      user_id: user.id,
      purpose,
      email: user.email,
      created_at: new Date(nowMs),
      expires_at: new Date(nowMs + codeLifeMs[purpose]),
    })
    .execute()
  return code
}

/** Ends what was sent before. */
export async function voidCodes(
  trx: Kysely<DB>,
  userId: string,
  purpose: Purpose,
  nowMs: number,
): Promise<void> {
  await trx
    .updateTable('one_time_codes')
    .set({ used_at: new Date(nowMs) })
    .where('user_id', '=', userId)
    .where('purpose', '=', purpose)
    .where('used_at', 'is', null)
    .execute()
}

/** Whether it could be used; costs one look-up, before anything dear is done. */
export async function isCodeGood(
  kysely: Kysely<DB>,
  code: string,
  purpose: Purpose,
  nowMs: number,
): Promise<boolean> {
  const hash = hashOpaqueToken(code)
  if (hash === undefined) return false
  const row = await kysely
    .selectFrom('one_time_codes')
    .select('hash')
    .where('hash', '=', hash)
    .where('purpose', '=', purpose)
    .where('used_at', 'is', null)
    .where('expires_at', '>', new Date(nowMs))
    .executeTakeFirst()
  return row !== undefined
}

/** Uses it up: of any number of attempts at once, one gets whose it is. */
export async function useCode(
  trx: Kysely<DB>,
  code: string,
  purpose: Purpose,
  nowMs: number,
): Promise<{ userId: Id<'usr'>; email: string } | undefined> {
  const hash = hashOpaqueToken(code)
  if (hash === undefined) return undefined
  const row = await trx
    .updateTable('one_time_codes')
    .set({ used_at: new Date(nowMs) })
    .where('hash', '=', hash)
    .where('purpose', '=', purpose)
    .where('used_at', 'is', null)
    .where('expires_at', '>', new Date(nowMs))
    .returning(['user_id', 'email'])
    .executeTakeFirst()
  return row && { userId: row.user_id as Id<'usr'>, email: row.email }
}
