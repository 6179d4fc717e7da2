import { AppError, type Id, type Profile } from '@wattle/contracts'
import { isUniqueViolation, type Queries } from '@wattle/database'
import { profileColumns, toProfile } from './profile-store.ts'
import type { DB } from './schema.ts'

export type NewAccount = {
  readonly id: Id<'usr'>
  /** As `normalizeEmail` writes it. */
  readonly email: string
  readonly passwordHash: string
  readonly name: string
  readonly phone: string | null
}

export type Account = {
  readonly id: Id<'usr'>
  readonly passwordHash: string
  readonly roles: readonly string[]
  readonly isActive: boolean
}

export const emailTaken = (cause?: unknown) =>
  new AppError('EMAIL_TAKEN', 'Log in, or use another e-mail address.', { cause })

export async function findAccount(
  { kysely }: Queries<DB>,
  email: string,
): Promise<Account | undefined> {
  const row = await kysely
    .selectFrom('users')
    .select(['id', 'password_hash', 'roles', 'status'])
    .where('email', '=', email)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const { id, password_hash: passwordHash, roles, status } = row
  return { id: id as Id<'usr'>, passwordHash, roles, isActive: status === 'active' }
}

/** Stores the account and its preferences, or throws EMAIL_TAKEN, also when two try at the same moment. */
export async function createAccount(database: Queries<DB>, account: NewAccount): Promise<Profile> {
  const { id, email, passwordHash, name, phone } = account
  try {
    return await database.transaction(async (trx) => {
      const row = await trx
        .insertInto('users')
        .values({ id, email, password_hash: passwordHash, name, phone })
        .returning(profileColumns)
        .executeTakeFirstOrThrow()
      await trx.insertInto('preferences').values({ user_id: id }).execute()
      return toProfile(row)
    })
  } catch (error) {
    if (isUniqueViolation(error, 'users_email_key')) throw emailTaken(error)
    throw error
  }
}

/** Replaces a hash of an outdated cost, unless the password was changed meanwhile. */
export async function replacePasswordHash(
  { kysely }: Queries<DB>,
  account: Account,
  passwordHash: string,
): Promise<void> {
  await kysely
    .updateTable('users')
    .set({ password_hash: passwordHash })
    .where('id', '=', account.id)
    .where('password_hash', '=', account.passwordHash)
    .execute()
}
