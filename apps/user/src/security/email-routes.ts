import { accountRoutes, AppError, type Id } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { addRoute } from '@wattle/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Mailer } from '../mail/mailer.ts'
import { mailTexts } from '../mail/texts.ts'
import type { DB } from '../schema.ts'
import type { Origin } from '../session/origin.ts'
import { recordSecurityEvents } from './events-store.ts'
import { createCode, useCode } from './one-time-codes.ts'

export type EmailDeps = {
  readonly database: Database<DB>
  readonly mailer: Pick<Mailer, 'send'>
  readonly originOf: (request: FastifyRequest) => Origin
  readonly now: () => number
}

/** Makes a code and mails it; undefined when too many were sent, or there is nothing to verify. */
export async function sendVerification(
  { database, mailer, now }: Pick<EmailDeps, 'database' | 'mailer' | 'now'>,
  userId: Id<'usr'>,
): Promise<'sent' | 'verified already' | 'too many'> {
  const made = await database.transaction(async (trx) => {
    const user = await trx
      .selectFrom('users')
      .select(['email', 'email_verified_at'])
      .where('id', '=', userId)
      .forUpdate()
      .executeTakeFirst()
    if (user === undefined || user.email_verified_at !== null) return 'verified already'
    const { email } = user
    const code = await createCode(trx, { id: userId, email }, 'verify_email', now())
    return code === undefined ? 'too many' : { email, code }
  })
  if (typeof made === 'string') return made
  await mailer.send(mailTexts.verifyEmail(made.email, made.code))
  return 'sent'
}

/** Proving that an e-mail address is one's own. */
export function addEmailRoutes(app: FastifyInstance, deps: EmailDeps): void {
  const { database, originOf, now } = deps

  addRoute(app, accountRoutes.sendVerification, async ({ user, reply }) => {
    if ((await sendVerification(deps, user.userId)) === 'too many') {
      throw new AppError('TOO_MANY_REQUESTS', 'Three codes were sent within the last hour.', {
        retryAfterSeconds: 3_600,
      })
    }
    reply.code(204)
    return null
  })

  addRoute(app, accountRoutes.verifyEmail, async ({ body, request, reply }) => {
    const nowMs = now()
    const isProved = await database.transaction(async (trx) => {
      const used = await useCode(trx, body.code, 'verify_email', nowMs)
      if (used === undefined) return false
      const { userId, email } = used
      const { numUpdatedRows } = await trx
        .updateTable('users')
        .set({ email_verified_at: new Date(nowMs) })
        .where('id', '=', userId)
        .where('email', '=', email)
        .executeTakeFirst()
      const event = { userId, atMs: nowMs, origin: originOf(request) }
      await recordSecurityEvents(trx, [{ ...event, type: 'email.verified' }])
      return numUpdatedRows > 0n
    })
    if (!isProved) {
      throw new AppError(
        'ONE_TIME_TOKEN_INVALID',
        'It was used, replaced or is too old; ask for another.',
      )
    }
    reply.code(204)
    return null
  })
}
