import { AppError, paymentRoutes, type Payment } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { addRoute } from '@wattle/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Idempotency, Operation } from '../idempotency/idempotency.ts'
import { answerOnce } from '../idempotency/answer-once.ts'
import type { Processor } from '../processor/processor.ts'
import type { DB } from '../schema.ts'
import { unlessLate } from '../unless-late.ts'
import type { Charging } from './charging.ts'
import { createOperation, type Reserve } from './create.ts'
import type { Lifecycle } from './lifecycle.ts'
import { paymentStore, type PaymentRow } from './payment-store.ts'
import type { InUnit, Unit } from './unit.ts'
import { paymentView } from './view.ts'

export type PaymentRouteDeps = {
  database: Database<DB>
  inUnit: InUnit
  lifecycle: Lifecycle
  charging: Charging
  processor: Processor
  idempotency: Idempotency
  /** Asks billing in the course of a request. */
  reserveFor: (request: FastifyRequest) => Reserve
}

/** Create, confirm, cancel, and look at one payment. What they decide is read from the database, never from a cache. */
export function addPaymentRoutes(app: FastifyInstance, deps: PaymentRouteDeps): void {
  const { database, inUnit, lifecycle, charging, processor, idempotency } = deps

  addRoute(app, paymentRoutes.createPayment, (call) =>
    answerOnce<Payment>(idempotency, paymentRoutes.createPayment, call, (key) => {
      const { body, user, request } = call
      const reserve = deps.reserveFor(request)
      return createOperation(
        { database, inUnit, lifecycle, processor, reserve, log: request.log },
        key,
        {
          userId: user.userId,
          billId: body.billId,
          currency: body.currency,
          amountMinor: body.amountMinor,
          instrument: body.instrument,
          couponCode: body.couponCode,
          correlationId: request.id,
        },
      )
    }),
  )

  addRoute(app, paymentRoutes.confirmPayment, (call) =>
    answerOnce<Payment>(idempotency, paymentRoutes.confirmPayment, call, () =>
      confirmOperation(call.params.paymentId, call.user.userId, call.request),
    ),
  )

  addRoute(app, paymentRoutes.cancelPayment, (call) =>
    answerOnce<Payment>(idempotency, paymentRoutes.cancelPayment, call, () =>
      cancelOperation(call.params.paymentId, call.user.userId, call.request.id),
    ),
  )

  addRoute(app, paymentRoutes.getPayment, async ({ params, user, request }) => {
    const store = paymentStore(database.within(request.deadline.signal).kysely)
    const row = await store.shown(params.paymentId, user.userId)
    if (row === undefined) throw noSuchPayment()
    return paymentView(row)
  })

  function confirmOperation(id: string, userId: string, request: FastifyRequest): Operation {
    const cause = request.id
    return {
      resourceId: id,
      async begin(unit) {
        const row = await lifecycle.startCharge(unit, id, userId)
        if (row === undefined) throw await conflict(unit, id, userId, 'confirmed')
        if (row.charge_minor > 0) return undefined
        // A coupon pays it all: there is nothing to charge.
        const nothing = { outcome: 'succeeded', currency: row.currency, amountMinor: 0 } as const
        await lifecycle.settle(unit, id, nothing, cause)
        return { status: 200, body: paymentView(await present(paymentStore(unit.trx), id)) }
      },
      async carryOn(_resourceId, isFirst) {
        const store = paymentStore(database.kysely)
        const row = await present(store, id)
        const work = isFirst ? charging.charge : charging.ask
        if (row.state === 'processing' || row.state === 'unknown') {
          await unlessLate(request.deadline, work(row, cause))
        }
        return { status: 200, body: paymentView(await present(store, id)) }
      },
    }
  }

  function cancelOperation(id: string, userId: string, cause: string): Operation {
    return {
      resourceId: id,
      async begin(unit) {
        const own = await paymentStore(unit.trx).shown(id, userId)
        const row = own && (await lifecycle.cancel(unit, id, 'requested', cause))
        if (row === undefined) throw await conflict(unit, id, userId, 'canceled')
        return { status: 200, body: paymentView(row) }
      },
      carryOn: async () => {
        throw new Error(`the cancellation of ${id} was left half done`)
      },
    }
  }
}

/** Why a payment could not be moved on: it is not theirs, or not in that state any more. */
async function conflict(
  { trx }: Unit,
  id: string,
  userId: string,
  participle: string,
): Promise<AppError> {
  const row = await paymentStore(trx).shown(id, userId)
  if (row === undefined) return noSuchPayment()
  return new AppError(
    'PAYMENT_STATE_CONFLICT',
    `A payment that is ${row.state} cannot be ${participle}.`,
  )
}

export function noSuchPayment(): AppError {
  return new AppError('NOT_FOUND', 'You have no such payment.')
}

async function present(store: ReturnType<typeof paymentStore>, id: string): Promise<PaymentRow> {
  const row = await store.byId(id)
  if (row === undefined) throw new Error(`payment ${id} is missing`)
  return row
}
