import type { Id, Profile } from '@wattle/contracts'
import type { Queries } from '@wattle/database'
import { sql, type Selectable } from 'kysely'
import type { DB, Users } from './schema.ts'

export const profileColumns = [
  'id',
  'email',
  'name',
  'phone',
  'version',
  'created_at',
  'updated_at',
] as const

/** What a person may change; absent fields stay as they are. */
export type ProfileChange = { readonly name?: string; readonly phone?: string | null }

export async function readProfile(
  { kysely }: Pick<Queries<DB>, 'kysely'>,
  userId: Id<'usr'>,
): Promise<Profile | undefined> {
  const row = await kysely
    .selectFrom('users')
    .select(profileColumns)
    .where('id', '=', userId)
    .executeTakeFirst()
  return row && toProfile(row)
}

/** Of many people, in the order of their ids; undefined where nobody has one. */
export async function readProfiles(
  { kysely }: Pick<Queries<DB>, 'kysely'>,
  userIds: readonly Id<'usr'>[],
): Promise<(Profile | undefined)[]> {
  const rows = await kysely
    .selectFrom('users')
    .select(profileColumns)
    .where('id', 'in', [...userIds, ''])
    .execute()
  const byId = new Map(rows.map((row) => [row.id, toProfile(row)]))
  return userIds.map((userId) => byId.get(userId))
}

/** The changed profile; undefined when nobody has this id, or not in `expectedVersion`. */
export async function changeProfile(
  { kysely }: Pick<Queries<DB>, 'kysely'>,
  userId: Id<'usr'>,
  change: ProfileChange,
  expectedVersion: number | undefined,
): Promise<Profile | undefined> {
  let update = kysely
    .updateTable('users')
    .set({ ...change, version: sql`version + 1`, updated_at: sql`now()` })
    .where('id', '=', userId)
  if (expectedVersion !== undefined) update = update.where('version', '=', expectedVersion)
  const row = await update.returning(profileColumns).executeTakeFirst()
  return row && toProfile(row)
}

export function toProfile(row: Pick<Selectable<Users>, (typeof profileColumns)[number]>): Profile {
  const { id, email, name, phone, version } = row
  return {
    id: id as Id<'usr'>,
    email,
    name,
    phone,
    version,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  }
}
