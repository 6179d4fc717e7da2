import type { Id, reservationRoutes } from '@wattle/contracts'
import type { Client } from '@wattle/service'
import type { FastifyRequest } from 'fastify'
import type { Reserve } from './create.ts'

/** Time kept for storing and sending what billing says. */
const reserveMs = 500

/** Asks billing over HTTP, as this service, within what is left of the request's time. */
export function reserveThrough(
  client: Pick<Client<typeof reservationRoutes>, 'reserve'>,
  token: () => string,
): (request: FastifyRequest) => Reserve {
  return (request) => (payment) => {
    const timeoutMs = Math.max(1, request.deadline.remainingMs() - reserveMs)
    return client.reserve(
      {
        body: {
          paymentId: payment.id as Id<'pay'>,
          userId: payment.user_id as Id<'usr'>,
          billId: payment.bill_id as Id<'bil'>,
          currency: payment.currency,
          amountMinor: payment.amount_minor,
          ...(payment.coupon_code === null ? {} : { couponCode: payment.coupon_code }),
        },
      },
      { context: request, token: token(), timeoutMs },
    )
  }
}
