import { newId, type Id } from '@wattle/contracts'
import { openDatabase, type Database } from '@wattle/database'
import { ConfigError, loadConfig } from '@wattle/service'
import { text } from 'node:stream/consumers'
import { Type } from 'typebox'
import { databaseUrl } from './config.ts'
import { normalizeEmail } from './email.ts'
import { createPasswords, type Passwords } from './passwords.ts'
import type { DB } from './schema.ts'
import { recordSecurityEvents } from './security/events-store.ts'
import { endSessions, revokeUser } from './session/end.ts'

const minLength = 14

/**
 * Makes the account with this address an operator; opens it first, with this password, where there is none. An account
 * that exists keeps its password and loses its sessions, so that its tokens name the new role from the next login on.
 */
export async function makeOperator(
  deps: { database: Database<DB>; passwords: Passwords; now?: () => number },
  account: { email: string; password: string | undefined; name?: string },
): Promise<'opened' | 'promoted' | 'operator already'> {
  const { database, passwords, now = Date.now } = deps
  const email = normalizeEmail(account.email)
  const find = () =>
    database.kysely
      .selectFrom('users')
      .select(['id', 'roles'])
      .where('email', '=', email)
      .executeTakeFirst()
  const present = await find()
  if (present !== undefined) return promote(present)

  const { password, name = 'Operator' } = account
  if (password === undefined || password.length < minLength || password.length > 128) {
    throw new Error(
      `nobody has this address yet: give a password of ${minLength} to 128 characters on stdin, or the name of a file that holds it in WATTLE_OPERATOR_PASSWORD_FILE`,
    )
  }
  const passwordHash = await passwords.hash(password)
  const id = newId('usr')
  await database.transaction(async (trx) => {
    await trx
      .insertInto('users')
      .values({ id, email, name, password_hash: passwordHash, roles: ['operator'] })
      .execute()
    await trx.insertInto('preferences').values({ user_id: id }).execute()
    const event = { userId: id, atMs: now(), detail: 'opened as an operator' }
    await recordSecurityEvents(trx, [{ ...event, type: 'account.opened' }])
  })
  return 'opened'

  async function promote(user: { id: string; roles: string[] }) {
    if (user.roles.includes('operator')) return 'operator already' as const
    const userId = user.id as Id<'usr'>
    await database.transaction(async (trx) => {
      await trx
        .updateTable('users')
        .set({ roles: [...user.roles, 'operator'] })
        .where('id', '=', userId)
        .execute()
      await endSessions(trx, { userId }, 'ended by an operator', now())
      await revokeUser(trx, userId, 'role changed', now())
      const event = { userId, atMs: now(), detail: 'became an operator' }
      await recordSecurityEvents(trx, [{ ...event, type: 'session.revoked' }])
    })
    return 'promoted' as const
  }
}

async function main(): Promise<void> {
  const [email, name] = process.argv.slice(2)
  if (email === undefined || email.startsWith('-')) {
    throw new Error('usage: make-operator.ts <email> [name], with the password on stdin')
  }
  const { DATABASE_URL_USER, WATTLE_OPERATOR_PASSWORD } = loadConfig(
    Type.Object({
      DATABASE_URL_USER: databaseUrl,
      WATTLE_OPERATOR_PASSWORD: Type.Optional(Type.String()),
    }),
  )
  const password = WATTLE_OPERATOR_PASSWORD ?? (await passwordOnStdin())
  const database = openDatabase<DB>({ url: DATABASE_URL_USER, name: 'make-operator', poolSize: 1 })
  try {
    const account = { email, password, ...(name === undefined ? {} : { name }) }
    const outcome = await makeOperator({ database, passwords: createPasswords() }, account)
    console.log(`user: ${email}: ${outcome}`)
  } finally {
    await database.close()
  }
}

/** Of a pipe or file; on a terminal nothing is asked for, since it would be seen. */
async function passwordOnStdin(): Promise<string | undefined> {
  if (process.stdin.isTTY) return undefined
  const given = (await text(process.stdin)).replace(/\r?\n$/, '')
  return given === '' ? undefined : given
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    const isExpected = error instanceof ConfigError || !(error instanceof Error)
    process.stderr.write(`make-operator: ${isExpected ? String(error) : error.message}\n`)
    process.exitCode = 1
  })
}
