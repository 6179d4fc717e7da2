import { AppError, reservationRoutes } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { addRoute } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import type { DB } from '../schema.ts'
import { reserve } from './reserve.ts'

/** Holding an amount of a bill: for the payment service alone. */
export function addReservationRoutes(
  app: FastifyInstance,
  { database, now }: { database: Pick<Database<DB>, 'within'>; now: () => number },
): void {
  addRoute(app, reservationRoutes.reserve, ({ body, user, request }) => {
    if (user.service !== 'payment') {
      throw new AppError('FORBIDDEN', 'Only the payment service may call this.')
    }
    return reserve(database.within(request.deadline.signal), body, new Date(now()))
  })
}
