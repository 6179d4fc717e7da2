import { operatorRoutes, sessionRoutes, type SecurityEventPage } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { addRoute, decodeCursor, encodeCursor, isTimestamp } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import type { DB } from '../schema.ts'
import { readSecurityEvents } from './events-store.ts'

const eventId = /^sev_[0-9a-f-]{36}$/

/** The security log, for the person and for operators. */
export function addSecurityEventRoutes(
  app: FastifyInstance,
  { database }: { database: Database<DB> },
): void {
  async function page(
    userId: string,
    query: { limit: number; cursor?: string },
    signal: AbortSignal,
  ): Promise<SecurityEventPage> {
    const { limit, cursor } = query
    const scope = ['security-events', userId]
    const before =
      cursor === undefined
        ? undefined
        : decodeCursor(cursor, scope, ([at, id]) => isTimestamp(at) && eventId.test(id))
    const { kysely } = database.within(signal)
    const found = await readSecurityEvents(kysely, userId, { limit: limit + 1, before })
    const items = found.slice(0, limit)
    const last = items.at(-1)
    const hasMore = found.length > limit && last !== undefined
    return { items, nextCursor: hasMore ? encodeCursor([last.at, last.id], scope) : null }
  }

  addRoute(app, sessionRoutes.listSecurityEvents, ({ user, query, request }) =>
    page(user.userId, query, request.deadline.signal),
  )
  addRoute(app, operatorRoutes.listUserSecurityEvents, ({ params, query, request }) =>
    page(params.userId, query, request.deadline.signal),
  )
}
