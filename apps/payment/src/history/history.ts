import { AppError, paymentRoutes, type PaymentQuery } from '@wattle/contracts'
import { addRoute, setCacheHeaders } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import type { PaymentCache } from '../cache.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'

/** The lists of payments, for reading only: they come from the cache. */
export function addHistoryRoutes(app: FastifyInstance, { cache }: { cache: PaymentCache }): void {
  addRoute(app, paymentRoutes.listPayments, async ({ query, user, reply }) => {
    const { limit, cursor, ...filters } = query
    refuseEmptyRange(filters)
    const scope = [user.userId, JSON.stringify(filters, Object.keys(filters).toSorted())]
    const after = cursor === undefined ? undefined : decodeCursor(cursor, scope)
    const read = await cache.history.read(user.userId, { filters, after, limit })
    setCacheHeaders(reply, read)
    const items = read.value.slice(0, limit)
    const last = items.at(-1)
    const isLastPage = read.value.length <= limit || last === undefined
    return { items, nextCursor: isLastPage ? null : encodeCursor(last, scope) }
  })

  addRoute(app, paymentRoutes.listRecentPayments, async ({ user, reply }) => {
    const read = await cache.recent.read(user.userId)
    setCacheHeaders(reply, read)
    return { items: read.value }
  })
}

function refuseEmptyRange({ from, to }: Pick<PaymentQuery, 'from' | 'to'>): void {
  if (from === undefined || to === undefined || Date.parse(from) < Date.parse(to)) return
  const problem = 'is not after from; give the later time here'
  throw new AppError('VALIDATION_FAILED', `query.to ${problem}.`, {
    fields: [{ in: 'query', field: 'to', problem }],
  })
}
