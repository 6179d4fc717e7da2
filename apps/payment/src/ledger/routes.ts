import { paymentRoutes } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { addRoute } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import type { DB } from '../schema.ts'
import { verifyLedger } from './verify.ts'

/** Lets those who watch over the service ask whether its books are right. */
export function addLedgerRoutes(
  app: FastifyInstance,
  { database }: { database: Database<DB> },
): void {
  addRoute(app, paymentRoutes.verifyLedger, ({ request }) => {
    const { signal } = request.deadline
    return verifyLedger(database.within(signal).kysely, signal)
  })
}
