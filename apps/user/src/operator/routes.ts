import { AppError, operatorRoutes, type Id } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { RevocationPublisher } from '@wattle/identity'
import { addRoute } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import type { Kysely } from 'kysely'
import type { DB } from '../schema.ts'
import { recordSecurityEvents } from '../security/events-store.ts'
import { endSessions, revoke, revokeUser } from '../session/end.ts'
import type { IdentityMetrics } from '../session/metrics.ts'
import { sessionStatistics } from '../session/statistics.ts'
import { liveSessions, toSession } from '../session/store.ts'

export type OperatorDeps = {
  readonly database: Database<DB>
  readonly publisher: Pick<RevocationPublisher, 'flush'>
  readonly metrics: IdentityMetrics
  readonly now: () => number
}

/** What operators may do to the sessions of others; each act stands in the security log of the person. */
export function addOperatorRoutes(app: FastifyInstance, deps: OperatorDeps): void {
  const { database, publisher, metrics, now } = deps
  const reason = 'ended by an operator'

  addRoute(app, operatorRoutes.listUserSessions, async ({ params, request }) => {
    const { kysely } = database.within(request.deadline.signal)
    const rows = await liveSessions(kysely, params.userId, now())
    return { items: rows.toReversed().map(toSession) }
  })

  addRoute(app, operatorRoutes.endUserSessions, async ({ params: { userId }, user }) => {
    const ended = await database.transaction(async (trx) => {
      await lockUser(trx, userId)
      const nowMs = now()
      const ids = await endSessions(trx, { userId }, reason, nowMs)
      await revokeUser(trx, userId, reason, nowMs)
      const event = { userId, atMs: nowMs, actorId: user.userId }
      await recordSecurityEvents(trx, [
        { ...event, type: 'session.revoked', detail: `all (${ids.length}), ${reason}` },
      ])
      return ids.length
    })
    metrics.ended.inc({ reason }, ended)
    await publisher.flush()
    return { ended }
  })

  addRoute(app, operatorRoutes.setUserStatus, async ({ params, body, user, reply }) => {
    const { userId } = params
    const ended = await database.transaction(async (trx) => {
      await lockUser(trx, userId)
      const nowMs = now()
      const { status } = body
      await trx.updateTable('users').set({ status }).where('id', '=', userId).execute()
      const isDisabled = status === 'disabled'
      const type = isDisabled ? ('account.disabled' as const) : ('account.enabled' as const)
      await recordSecurityEvents(trx, [{ userId, type, atMs: nowMs, actorId: user.userId }])
      if (!isDisabled) return 0
      await revokeUser(trx, userId, 'account disabled', nowMs)
      return (await endSessions(trx, { userId }, 'account disabled', nowMs)).length
    })
    metrics.ended.inc({ reason: 'account disabled' }, ended)
    await publisher.flush()
    reply.code(204)
    return null
  })

  addRoute(app, operatorRoutes.revoke, async ({ body: { id }, user }) => {
    await database.transaction(async (trx) => {
      const nowMs = now()
      await revoke(trx, [id], reason, nowMs)
      if (id.startsWith('tok_')) return
      const session = await trx
        .selectFrom('sessions')
        .select(['id', 'user_id'])
        .where(id.startsWith('ses_') ? 'id' : 'family_id', '=', id)
        .executeTakeFirst()
      if (session === undefined) throw new AppError('NOT_FOUND', `There is no ${id}.`)
      const { id: sessionId, user_id: userId } = session
      await endSessions(trx, { ids: [sessionId] }, reason, nowMs)
      await recordSecurityEvents(trx, [
        { userId, type: 'session.revoked', atMs: nowMs, sessionId, actorId: user.userId },
      ])
    })
    return { published: await publisher.flush() }
  })

  addRoute(app, operatorRoutes.sessionStatistics, ({ request }) =>
    sessionStatistics(database.within(request.deadline.signal), now()),
  )
}

async function lockUser(trx: Kysely<DB>, userId: Id<'usr'>): Promise<void> {
  const user = await trx
    .selectFrom('users')
    .select('id')
    .where('id', '=', userId)
    .forUpdate()
    .executeTakeFirst()
  if (user === undefined) throw new AppError('NOT_FOUND', 'There is no such account.')
}
