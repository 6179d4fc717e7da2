import { newId, AppError, userRoutes } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { AccessTokens } from '@wattle/identity'
import { addRoute } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import { createAccount, emailTaken, findAccount, replacePasswordHash } from './accounts-store.ts'
import { normalizeEmail } from './email.ts'
import type { Passwords } from './passwords.ts'
import type { DB } from './schema.ts'

export type AccountsDeps = {
  readonly database: Database<DB>
  readonly passwords: Passwords
  readonly tokens: Pick<AccessTokens, 'issue' | 'lifetimeSeconds'>
}

/** Opening an account and logging in. */
export function addAccountRoutes(app: FastifyInstance, deps: AccountsDeps): void {
  const { database, passwords, tokens } = deps

  addRoute(app, userRoutes.register, async ({ body, request }) => {
    const { signal } = request.deadline
    const queries = database.within(signal)
    const email = normalizeEmail(body.email)
    // Spares the cost of the hash; the unique constraint decides.
    if ((await findAccount(queries, email)) !== undefined) throw emailTaken()
    const passwordHash = await passwords.hash(body.password, signal)
    const { name, phone = null } = body
    return createAccount(queries, { id: newId('usr'), email, passwordHash, name, phone })
  })

  addRoute(app, userRoutes.login, async ({ body, request }) => {
    const { signal } = request.deadline
    const queries = database.within(signal)
    const account = await findAccount(queries, normalizeEmail(body.email))
    // An unknown address costs the same hash, and every refusal reads the same: nobody learns who has an account.
    const { matches, outdated } = await passwords.verify(
      body.password,
      account?.passwordHash,
      signal,
    )
    if (account === undefined || !account.isActive || !matches) {
      throw new AppError('INVALID_CREDENTIALS', 'Check both, or reset your password.')
    }
    if (outdated) await renewHash(account, body.password, signal, request.log)
    const { token } = tokens.issue({ userId: account.id, roles: account.roles })
    return { accessToken: token, tokenType: 'Bearer' as const, expiresIn: tokens.lifetimeSeconds }
  })

  /** Replaces a hash of an older cost; a login does not fail for it. */
  async function renewHash(
    account: Parameters<typeof replacePasswordHash>[1],
    password: string,
    signal: AbortSignal,
    log: { warn(fields: object, message: string): void },
  ): Promise<void> {
    try {
      const passwordHash = await passwords.hash(password, signal)
      await replacePasswordHash(database.within(signal), account, passwordHash)
    } catch (error) {
      log.warn({ err: error, userId: account.id }, 'an outdated password hash was not replaced')
    }
  }
}
