import { AppError, sessionRoutes, type Id } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { AccessTokens, RefreshTokens, RevocationPublisher } from '@wattle/identity'
import { addRoute } from '@wattle/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { DB } from '../schema.ts'
import { recordSecurityEvents } from '../security/events-store.ts'
import { endSessions, type EndReason, type Which } from './end.ts'
import type { IdentityMetrics } from './metrics.ts'
import type { Origin } from './origin.ts'
import { refreshSession, refusalOf } from './refresh.ts'
import type { SessionRules } from './rules.ts'
import {
  currentSession,
  isLive,
  liveSessions,
  renameSession,
  toSession,
  type SessionRow,
} from './store.ts'
import { tokensOf } from './tokens.ts'

export type SessionDeps = {
  readonly database: Database<DB>
  readonly tokens: Pick<AccessTokens, 'issue' | 'lifetimeSeconds'>
  readonly refreshTokens: RefreshTokens
  readonly publisher: Pick<RevocationPublisher, 'flush'>
  readonly rules: SessionRules
  readonly metrics: IdentityMetrics
  readonly originOf: (request: FastifyRequest) => Origin
  readonly now: () => number
}

/** Going on with a session, seeing where one is logged in, and ending it. */
export function addSessionRoutes(app: FastifyInstance, deps: SessionDeps): void {
  const { database, publisher, metrics, originOf, now } = deps

  /** Ends them, writes down who did, and tells every gateway before the reply leaves, where Redis lets it. */
  async function end(
    which: Which,
    reason: EndReason,
    request: FastifyRequest,
    userId: Id<'usr'>,
  ): Promise<number> {
    const ids = await database.transaction(async (trx) => {
      const nowMs = now()
      const ended = await endSessions(trx, which, reason, nowMs)
      const origin = originOf(request)
      await recordSecurityEvents(
        trx,
        ended.map((sessionId) => ({
          userId,
          type: 'session.ended' as const,
          atMs: nowMs,
          origin,
          sessionId,
          detail: reason,
        })),
      )
      return ended
    })
    metrics.ended.inc({ reason }, ids.length)
    if (ids.length > 0) await publisher.flush()
    return ids.length
  }

  addRoute(app, sessionRoutes.refresh, async ({ body, request }) => {
    // Not cut off by the deadline: what is committed at its end would have spent the token unseen.
    const refreshed = await refreshSession(deps, body.refreshToken, originOf(request))
    metrics.refreshes.inc({ outcome: refreshed.outcome })
    if (refreshed.outcome === 'continued') {
      metrics.issued.inc({ reason: 'refresh' })
      return tokensOf(refreshed.session, deps)
    }
    if (refreshed.outcome === 'reused' || refreshed.outcome === 'unusual') {
      request.log.warn({ outcome: refreshed.outcome }, 'a session was ended at its refresh')
      await publisher.flush()
    }
    throw refusalOf(refreshed.outcome)
  })

  addRoute(app, sessionRoutes.logout, async ({ user, request, reply }) => {
    const ids = [sessionOf(user)]
    await end({ ids, userId: user.userId }, 'logout', request, user.userId)
    reply.code(204)
    return null
  })

  addRoute(app, sessionRoutes.getCurrentSession, async ({ user, request }) => {
    const { kysely } = database.within(request.deadline.signal)
    const row = await currentSession(kysely, { ...user, sessionId: sessionOf(user) })
    if (row === undefined || !isLive(row, now())) {
      throw new AppError('UNAUTHENTICATED', 'This session has ended; log in again.')
    }
    return own(row, row.id)
  })

  addRoute(app, sessionRoutes.listSessions, async ({ user, request }) => {
    const { kysely } = database.within(request.deadline.signal)
    const rows = await liveSessions(kysely, user.userId, now())
    return { items: rows.toReversed().map((row) => own(row, user.sessionId)) }
  })

  addRoute(app, sessionRoutes.nameSession, async ({ user, params, body }) => {
    const owner = { userId: user.userId, sessionId: params.sessionId }
    const row = await renameSession(database.kysely, owner, body.name, now())
    if (row === undefined || !isLive(row, now())) throw noSession()
    return own(row, user.sessionId)
  })

  addRoute(app, sessionRoutes.endSession, async ({ user: { userId }, params, request, reply }) => {
    const which = { ids: [params.sessionId], userId }
    if ((await end(which, 'ended by its owner', request, userId)) === 0) throw noSession()
    reply.code(204)
    return null
  })

  addRoute(app, sessionRoutes.endOtherSessions, async ({ user, request }) => {
    const { userId } = user
    const which = { userId, except: sessionOf(user) }
    return { ended: await end(which, 'ended by its owner', request, userId) }
  })
}

const own = (row: SessionRow, current: string | undefined) => ({
  ...toSession(row),
  current: row.id === current,
})

const noSession = () => new AppError('NOT_FOUND', 'You have no such session.')

/** The session that a request belongs to; its token must name one. */
export function sessionOf({ sessionId }: { sessionId?: Id<'ses'> }): Id<'ses'> {
  if (sessionId === undefined) {
    throw new AppError('UNAUTHENTICATED', 'The access token names no session; log in again.')
  }
  return sessionId
}
