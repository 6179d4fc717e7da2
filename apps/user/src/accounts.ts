import { newId, AppError, userRoutes, type Id } from '@wattle/contracts'
import { addRoute } from '@wattle/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  createAccount,
  emailTaken,
  findAccount,
  replacePasswordHash,
  type Account,
} from './accounts-store.ts'
import type { Background } from './background.ts'
import { normalizeEmail } from './email.ts'
import type { Mailer } from './mail/mailer.ts'
import type { Passwords } from './passwords.ts'
import type { DeviceTokens } from './security/devices.ts'
import { sendVerification } from './security/email-routes.ts'
import { recordSecurityEvents, type NewSecurityEvent } from './security/events-store.ts'
import type { Attempt, LoginAttempts } from './security/login-attempts.ts'
import { beginSession } from './session/begin.ts'
import type { SessionDeps } from './session/routes.ts'
import { tokensOf } from './session/tokens.ts'

export type AccountsDeps = Omit<SessionDeps, 'refreshTokens'> & {
  readonly passwords: Passwords
  readonly attempts: LoginAttempts
  readonly devices: DeviceTokens
  readonly mailer: Pick<Mailer, 'send'>
  readonly background: Background
  readonly mailing: Background
}

/** Whose device tokens are looked for where nobody has the address, so that both cases do the same. */
const nobody = 'usr_00000000-0000-7000-8000-000000000000' satisfies Id<'usr'>

/** Opening an account and logging in. */
export function addAccountRoutes(app: FastifyInstance, deps: AccountsDeps): void {
  const { database, passwords, attempts, devices, publisher, metrics, background, mailing } = deps
  const { originOf, now } = deps

  addRoute(app, userRoutes.register, async ({ body, request }) => {
    const { signal } = request.deadline
    const queries = database.within(signal)
    const email = normalizeEmail(body.email)
    // Spares the cost of the hash; the unique constraint decides.
    if ((await findAccount(queries, email)) !== undefined) throw emailTaken()
    const passwordHash = await passwords.hash(body.password, signal)
    const { name, phone = null } = body
    const account = { id: newId('usr'), email, passwordHash, name, phone }
    const profile = await createAccount(queries, account)
    const event = { userId: account.id, atMs: now(), origin: originOf(request) }
    background.run('a security event', () =>
      recordSecurityEvents(database.kysely, [{ ...event, type: 'account.opened' }]),
    )
    mailing.run('the first code', () => sendVerification(deps, account.id))
    return profile
  })

  addRoute(app, userRoutes.login, async ({ body, request }) => {
    const { signal } = request.deadline
    const queries = database.within(signal)
    const email = normalizeEmail(body.email)
    const account = await findAccount(queries, email)
    const origin = originOf(request)
    const device = devices.read(body.deviceToken, account?.id ?? nobody)
    const attempt = await begin(email, request, device)
    const { matches, outdated } = await decide(attempt, () =>
      // An unknown address costs the same hash, and every refusal reads the same: nobody learns who has an account.
      passwords.verify(body.password, account?.passwordHash, signal),
    )
    if (account === undefined || !account.isActive || !matches) {
      metrics.logins.inc({ result: 'failed' })
      note(account, { type: attempt.isLast ? 'login.locked' : 'login.failed' }, request)
      throw refusedLogin()
    }
    const session = await decide(attempt, () =>
      beginSession(deps, {
        userId: account.id,
        passwordHash: account.passwordHash,
        origin,
        name: body.sessionName ?? null,
      }),
    )
    if (session === undefined) throw refusedLogin()
    await attempt.succeeded()
    if (outdated) await renewHash(account, body.password, signal, request.log)
    if (session.ended > 0) {
      metrics.ended.inc({ reason: 'more than the permitted number' }, session.ended)
      await publisher.flush()
    }
    metrics.logins.inc({ result: 'succeeded' })
    metrics.issued.inc({ reason: 'login' })
    const deviceToken =
      device !== undefined && body.deviceToken !== undefined
        ? body.deviceToken
        : devices.issue(account.id)
    return { ...tokensOf(session, deps), deviceToken }
  })

  async function begin(
    email: string,
    request: FastifyRequest,
    device: ReturnType<DeviceTokens['read']>,
  ): Promise<Attempt> {
    try {
      return await attempts.begin(email, originOf(request), device)
    } catch (error) {
      if (error instanceof AppError && error.code === 'TOO_MANY_REQUESTS') {
        metrics.logins.inc({ result: 'locked' })
      }
      throw error
    }
  }

  /** An attempt that came to nothing for want of time or of a database does not count against anybody. */
  async function decide<T>(attempt: Attempt, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      await attempt.undecided().catch(() => undefined)
      throw error
    }
  }

  /** Written down afterwards: the answer must not take longer where there is an account to write it to. */
  function note(
    account: Account | undefined,
    event: Pick<NewSecurityEvent, 'type'>,
    request: FastifyRequest,
  ): void {
    if (account === undefined) return
    const noted = { ...event, userId: account.id, atMs: now(), origin: originOf(request) }
    background.run('a security event', () => recordSecurityEvents(database.kysely, [noted]))
  }

  /** Replaces a hash of an older cost; a login does not fail for it. */
  async function renewHash(
    account: Account,
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

const refusedLogin = () =>
  new AppError('INVALID_CREDENTIALS', 'Check both, or reset your password.')
