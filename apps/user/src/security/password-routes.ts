import { accountRoutes, AppError, type Id } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { RevocationPublisher } from '@wattle/identity'
import { addRoute } from '@wattle/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Background } from '../background.ts'
import { normalizeEmail } from '../email.ts'
import type { Mailer } from '../mail/mailer.ts'
import { mailTexts } from '../mail/texts.ts'
import type { Passwords } from '../passwords.ts'
import type { DB } from '../schema.ts'
import { endSessions, revokeUser } from '../session/end.ts'
import type { Origin } from '../session/origin.ts'
import { sessionOf } from '../session/routes.ts'
import { recordSecurityEvents } from './events-store.ts'
import type { LoginAttempts } from './login-attempts.ts'
import { createCode, isCodeGood, useCode, voidCodes } from './one-time-codes.ts'

export type PasswordDeps = {
  readonly database: Database<DB>
  readonly passwords: Passwords
  readonly attempts: LoginAttempts
  readonly publisher: Pick<RevocationPublisher, 'flush'>
  readonly mailer: Pick<Mailer, 'send'>
  readonly mailing: Background
  readonly originOf: (request: FastifyRequest) => Origin
  readonly now: () => number
}

const codeInvalid = () =>
  new AppError('ONE_TIME_TOKEN_INVALID', 'It was used, replaced or is too old; ask for another.')

/** Another password, by mail or by the present one. Both end the person's other sessions. */
export function addPasswordRoutes(app: FastifyInstance, deps: PasswordDeps): void {
  const { database, passwords, attempts, publisher, mailer, mailing, originOf, now } = deps
  const reason = 'password changed'

  addRoute(app, accountRoutes.forgotPassword, ({ body, request, reply }) => {
    const email = normalizeEmail(body.email)
    const origin = originOf(request)
    // The answer has gone before anybody looks whether the address is known.
    mailing.run('a reset of a password', () => sendReset(email, origin))
    reply.code(204)
    return null
  })

  async function sendReset(email: string, origin: Origin): Promise<void> {
    const code = await database.transaction(async (trx) => {
      const user = await trx
        .selectFrom('users')
        .select('id')
        .where('email', '=', email)
        .where('status', '=', 'active')
        .forUpdate()
        .executeTakeFirst()
      if (user === undefined) return undefined
      const nowMs = now()
      const event = { userId: user.id, atMs: nowMs, origin }
      const made = await createCode(trx, { id: user.id, email }, 'reset_password', nowMs)
      if (made === undefined) return undefined
      await recordSecurityEvents(trx, [{ ...event, type: 'password.reset_requested' }])
      return made
    })
    if (code !== undefined) await mailer.send(mailTexts.resetPassword(email, code))
  }

  addRoute(app, accountRoutes.resetPassword, async ({ body, request, reply }) => {
    const { signal } = request.deadline
    // A hash is dear: nobody gets one for a code that is worth nothing.
    const { kysely } = database.within(signal)
    if (!(await isCodeGood(kysely, body.code, 'reset_password', now()))) throw codeInvalid()
    const passwordHash = await passwords.hash(body.password, signal)
    const origin = originOf(request)
    const email = await database.transaction(async (trx) => {
      const nowMs = now()
      const used = await useCode(trx, body.code, 'reset_password', nowMs)
      if (used === undefined) throw codeInvalid()
      const { userId } = used
      const user = await trx
        .selectFrom('users')
        .select(['email', 'email_verified_at'])
        .where('id', '=', userId)
        .forUpdate()
        .executeTakeFirstOrThrow()
      // Who has read the mail has proved the address.
      const verifiedAt = user.email_verified_at ?? new Date(nowMs)
      await trx
        .updateTable('users')
        .set({ password_hash: passwordHash, email_verified_at: verifiedAt })
        .where('id', '=', userId)
        .execute()
      await endSessions(trx, { userId }, reason, nowMs)
      await revokeUser(trx, userId, reason, nowMs)
      await recordSecurityEvents(trx, [{ userId, type: 'password.reset', atMs: nowMs, origin }])
      return user.email
    })
    await attempts.forgetAll(email)
    await publisher.flush()
    mailing.run('a notice', () => mailer.send(mailTexts.passwordChanged(email)))
    reply.code(204)
    return null
  })

  addRoute(app, accountRoutes.changePassword, async ({ user, body, request, reply }) => {
    const { signal } = request.deadline
    const sessionId = sessionOf(user)
    const origin = originOf(request)
    const account = await database
      .within(signal)
      .kysely.selectFrom('users')
      .select(['email', 'password_hash'])
      .where('id', '=', user.userId)
      .executeTakeFirst()
    if (account === undefined) {
      throw new AppError('UNAUTHENTICATED', 'This account does not exist any more.')
    }
    const { email, password_hash: present } = account
    // Who holds a stolen token must not have more guesses than who holds none.
    const attempt = await attempts.begin(email, origin, undefined)
    const { matches, newHash } = await check(body, present, signal).catch(
      async (error: unknown) => {
        await attempt.undecided()
        throw error
      },
    )
    if (!matches || newHash === undefined) {
      throw new AppError('INVALID_CREDENTIALS', 'The current password is wrong.')
    }
    await attempt.succeeded()
    await change(user.userId, { sessionId, present, newHash, origin })
    await publisher.flush()
    mailing.run('a notice', () => mailer.send(mailTexts.passwordChanged(email)))
    reply.code(204)
    return null
  })

  async function check(
    body: { currentPassword: string; newPassword: string },
    present: string,
    signal: AbortSignal,
  ) {
    const { matches } = await passwords.verify(body.currentPassword, present, signal)
    const newHash = matches ? await passwords.hash(body.newPassword, signal) : undefined
    return { matches, newHash }
  }

  async function change(
    userId: Id<'usr'>,
    {
      sessionId,
      present,
      newHash,
      origin,
    }: {
      sessionId: Id<'ses'>
      present: string
      newHash: string
      origin: Origin
    },
  ): Promise<void> {
    await database.transaction(async (trx) => {
      const nowMs = now()
      const { numUpdatedRows } = await trx
        .updateTable('users')
        .set({ password_hash: newHash })
        .where('id', '=', userId)
        .where('password_hash', '=', present)
        .executeTakeFirst()
      const session = await trx
        .selectFrom('sessions')
        .select('id')
        .where('id', '=', sessionId)
        .where('user_id', '=', userId)
        .where('ended_at', 'is', null)
        .forUpdate()
        .executeTakeFirst()
      // Somebody else was faster, or this session was ended while the hashes were computed.
      if (numUpdatedRows === 0n || session === undefined) {
        throw new AppError('UNAUTHENTICATED', 'This session has ended; log in again.')
      }
      await endSessions(trx, { userId, except: sessionId }, reason, nowMs)
      await voidCodes(trx, userId, 'reset_password', nowMs)
      const event = { userId, atMs: nowMs, origin, sessionId }
      await recordSecurityEvents(trx, [{ ...event, type: 'password.changed' }])
    })
  }
}
