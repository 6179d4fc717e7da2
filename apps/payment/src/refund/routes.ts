import { AppError, newId, paymentRoutes, type Id, type Refund } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { addRoute } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import { answerOnce } from '../idempotency/answer-once.ts'
import type { Idempotency, Operation } from '../idempotency/idempotency.ts'
import { paymentStore } from '../payment/payment-store.ts'
import { noSuchPayment } from '../payment/routes.ts'
import type { Unit } from '../payment/unit.ts'
import type { DB } from '../schema.ts'
import { unlessLate } from '../unless-late.ts'
import { refundStore, type RefundRow } from './refund-store.ts'
import type { Refunding } from './refunding.ts'

/** Give back, and look at what was given back. */
export function addRefundRoutes(
  app: FastifyInstance,
  deps: { database: Database<DB>; refunding: Refunding; idempotency: Idempotency },
): void {
  const { database, refunding, idempotency } = deps

  addRoute(app, paymentRoutes.refundPayment, (call) =>
    answerOnce<Refund>(idempotency, paymentRoutes.refundPayment, call, (): Operation => {
      const { params, body, user, request } = call
      const id = newId('ref')
      const wanted = {
        paymentId: params.paymentId,
        userId: user.userId,
        amountMinor: body.amountMinor,
        cause: request.id,
      }
      return {
        resourceId: id,
        async begin(unit) {
          if ((await refunding.start(unit, { id, ...wanted })) === undefined) {
            throw await refusal(unit, wanted)
          }
          return undefined
        },
        async carryOn(refundId, isFirst) {
          const row = await present(refundId)
          const work = isFirst ? refunding.give : refunding.ask
          if (row.state === 'processing' || row.state === 'unknown') {
            await unlessLate(request.deadline, work(row, request.id))
          }
          return { status: 201, body: refundView(await present(refundId)) }
        },
      }
    }),
  )

  addRoute(app, paymentRoutes.listRefunds, async ({ params, user, request }) => {
    const { kysely } = database.within(request.deadline.signal)
    const payment = await paymentStore(kysely).shown(params.paymentId, user.userId)
    if (payment === undefined) throw noSuchPayment()
    return { items: (await refundStore(kysely).ofPayment(payment.id)).map(refundView) }
  })

  async function present(id: string): Promise<RefundRow> {
    const row = await refundStore(database.kysely).byId(id)
    if (row === undefined) throw new Error(`refund ${id} is missing`)
    return row
  }
}

async function refusal(
  { trx }: Unit,
  wanted: { paymentId: string; userId: string },
): Promise<AppError> {
  const payment = await paymentStore(trx).shown(wanted.paymentId, wanted.userId)
  if (payment === undefined) return noSuchPayment()
  if (payment.state !== 'succeeded') {
    const message = `A payment that is ${payment.state} cannot be refunded.`
    return new AppError('PAYMENT_STATE_CONFLICT', message)
  }
  const { charge_minor: charged, refunded_minor: refunded, refunding_minor: refunding } = payment
  return new AppError(
    'REFUND_EXCEEDS_PAYMENT',
    `Of this payment ${charged - refunded - refunding} ${payment.currency} (minor units) can still be refunded.`,
  )
}

function refundView(row: RefundRow): Refund {
  return {
    id: row.id as Id<'ref'>,
    paymentId: row.payment_id as Id<'pay'>,
    state: row.state,
    currency: row.currency,
    amountMinor: row.amount_minor,
    failureReason: row.failure_reason,
    createdAt: row.created_at.toISOString(),
  }
}
