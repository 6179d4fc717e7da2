import {
  AppError,
  newId,
  reservationRoutes,
  type ErrorCode,
  type Reservation,
} from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { idempotencyStore, type KeyName } from '../idempotency/idempotency-store.ts'
import type { Operation } from '../idempotency/idempotency.ts'
import type { Processor } from '../processor/processor.ts'
import type { DB } from '../schema.ts'
import type { Lifecycle } from './lifecycle.ts'
import { paymentStore, type NewPayment, type PaymentRow } from './payment-store.ts'
import type { InUnit } from './unit.ts'
import { paymentView } from './view.ts'

/** Asks billing to hold the amount of a payment. Rejects with the AppError that billing answered. */
export type Reserve = (payment: PaymentRow) => Promise<Reservation>

/** What billing says when it decides against a hold. Anything else says nothing about the payment. */
const refusals: ReadonlySet<ErrorCode> = new Set(reservationRoutes.reserve.errors)

/** What may be refused only because the payment that was given up before still holds it: its release is on its way. */
const mayPass: ReadonlySet<ErrorCode> = new Set(['AMOUNT_EXCEEDS_DUE', 'COUPON_REFUSED'])

/**
 * The creation of a payment: stored first, held in billing second. Who repeats the request goes on with the same
 * payment; when the janitor has given that one up meanwhile, the key stands for a new payment.
 */
export function createOperation(
  deps: {
    database: Pick<Database<DB>, 'kysely'>
    inUnit: InUnit
    lifecycle: Lifecycle
    processor: Processor
    reserve: Reserve
    log: { error(details: object, message: string): void }
  },
  key: KeyName,
  wanted: Omit<NewPayment, 'id'>,
): Operation {
  const { inUnit, lifecycle, processor, reserve, log } = deps
  const cause = wanted.correlationId
  const firstId = newId('pay')

  /** Asks billing, and stores what it says; returns the payment as it then is. */
  async function hold(
    payment: PaymentRow,
    { afterAnother }: { afterAnother: boolean },
  ): Promise<PaymentRow | undefined> {
    let reservation: Reservation
    try {
      reservation = await reserve(payment)
    } catch (error) {
      if (!(error instanceof AppError) || !refusals.has(error.code)) throw unanswered(error)
      const { code } = error
      if (afterAnother && mayPass.has(code)) throw unanswered(error)
      const refused = await inUnit((unit) => lifecycle.refuse(unit, payment.id, code, cause))
      if (refused !== undefined) throw error
      return paymentStore(deps.database.kysely).byId(payment.id)
    }
    if (!fits(reservation, payment)) {
      log.error(
        { paymentId: payment.id, heldState: reservation.state },
        'billing held something else than was asked',
      )
      throw new AppError('BAD_GATEWAY', 'Billing answered wrongly.')
    }
    const held = await inUnit((unit) => lifecycle.hold(unit, payment.id, reservation))
    return held ?? paymentStore(deps.database.kysely).byId(payment.id)
  }

  return {
    resourceId: firstId,
    async begin(unit) {
      if (!processor.knows(wanted.instrument)) {
        throw new AppError('INSTRUMENT_UNKNOWN', 'There is no such payment instrument.', {
          fields: [{ in: 'body', field: 'instrument', problem: 'is not an instrument of yours' }],
        })
      }
      await lifecycle.open(unit, { ...wanted, id: firstId })
      return undefined
    },
    async carryOn(resourceId) {
      let paymentId = resourceId
      for (;;) {
        let payment = await paymentStore(deps.database.kysely).byId(paymentId)
        if (payment?.reservation === 'pending') {
          payment = await hold(payment, { afterAnother: paymentId !== resourceId })
        }
        if (payment === undefined) throw new Error(`payment ${paymentId} of a key is missing`)
        if (payment.reservation === 'reserved') return { status: 201, body: paymentView(payment) }
        if (payment.reservation === 'refused') throw refusalOf(payment)

        const id = newId('pay')
        const isMine = await inUnit(async (unit) => {
          const keys = idempotencyStore(unit.trx)
          if (!(await keys.rebind(key, paymentId, id))) return false
          await lifecycle.open(unit, { ...wanted, id })
          return true
        })
        if (!isMine) throw new AppError('UNAVAILABLE', 'Try again.', { retryAfterSeconds: 1 })
        paymentId = id
      }
    },
  }
}

function fits(reservation: Reservation, payment: PaymentRow): boolean {
  return (
    reservation.paymentId === payment.id &&
    reservation.billId === payment.bill_id &&
    reservation.currency === payment.currency &&
    reservation.amountMinor === payment.amount_minor &&
    reservation.chargeMinor === payment.amount_minor - reservation.discountMinor &&
    reservation.state === 'reserved'
  )
}

/** The refusal of a payment that was refused in a request which died before it could keep the answer. */
function refusalOf({ failure_reason: reason }: PaymentRow): AppError {
  const code = [...refusals].find((one) => one === reason) ?? 'BILL_NOT_PAYABLE'
  return new AppError(code, 'The amount could not be held on the bill.')
}

function unanswered(cause: unknown): AppError {
  if (cause instanceof AppError && cause.status >= 500) return cause
  return new AppError('UNAVAILABLE', 'The bill cannot be looked at at the moment.', {
    cause,
    retryAfterSeconds: 1,
  })
}
