import { AppError, billingRoutes, type BillQuery } from '@wattle/contracts'
import { addRoute, setCacheHeaders } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import type { BillingCache } from './cache.ts'
import { dayAt } from './calendar.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'

/** Providers and bills, for reading. */
export function addBillRoutes(
  app: FastifyInstance,
  { cache, now }: { cache: BillingCache; now: () => number },
): void {
  addRoute(app, billingRoutes.listProviders, async ({ query, reply }) => {
    const read = await cache.providers.read(query.utility)
    setCacheHeaders(reply, read)
    return { items: read.value }
  })

  addRoute(app, billingRoutes.listBills, async ({ query, user, reply }) => {
    const { limit, cursor, ...filters } = query
    refuseEmptyRange(filters)
    const scope = [user.userId, JSON.stringify(filters, Object.keys(filters).toSorted())]
    const after = cursor === undefined ? undefined : decodeCursor(cursor, scope)
    const read = await cache.bills.read(user.userId, dayAt(now()), { filters, after, limit })
    setCacheHeaders(reply, read)
    const items = read.value.slice(0, limit)
    const last = items.at(-1)
    const isLastPage = read.value.length <= limit || last === undefined
    return { items, nextCursor: isLastPage ? null : encodeCursor(last, scope) }
  })

  addRoute(app, billingRoutes.getBill, async ({ params, user, reply }) => {
    const read = await cache.bill.read(user.userId, params.billId, dayAt(now()))
    if (read.value === undefined) throw new AppError('NOT_FOUND', 'You have no such bill.')
    setCacheHeaders(reply, read)
    return read.value
  })
}

function refuseEmptyRange({ dueFrom, dueTo }: Pick<BillQuery, 'dueFrom' | 'dueTo'>): void {
  if (dueFrom === undefined || dueTo === undefined || dueFrom <= dueTo) return
  const problem = 'is before dueFrom; give the later day here'
  throw new AppError('VALIDATION_FAILED', `query.dueTo ${problem}.`, {
    fields: [{ in: 'query', field: 'dueTo', problem }],
  })
}
