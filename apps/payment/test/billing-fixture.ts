import {
  AppError,
  newId,
  reservationRoutes,
  type Id,
  type Reservation,
  type RouteRequest,
} from '@wattle/contracts'
import { addRoute, baseConfig, createService, loadConfig } from '@wattle/service'
import { Type } from 'typebox'

type ReserveBody = RouteRequest<typeof reservationRoutes.reserve>['body']
type FixtureBill = {
  readonly id: Id<'bil'>
  readonly userId: string
  readonly providerId: Id<'prv'>
  readonly currency: 'NGN' | 'USD'
  readonly totalMinor: number
  paidMinor: number
  reservedMinor: number
}
type Told = { type: string; payload: Record<string, unknown> }

/** What the discount of a coupon is, by its code. */
export const coupons: Readonly<Record<string, number>> = { TWENTY: 20, EVERYTHING: 1_000_000 }

/**
 * Billing as payment knows it, over real HTTP: holds by the contract, and learns of what became of them from the
 * events. In memory; `holds` and `bills` are for looking at.
 */
export async function startBillingFixture() {
  const bills = new Map<string, FixtureBill>()
  const holds = new Map<string, Reservation & { userId: string }>()
  /** Runs before and after a hold is made; may wait or throw. */
  const hooks: { before?: (body: ReserveBody) => unknown; after?: (body: ReserveBody) => unknown } =
    {}

  const app = await createService({
    name: 'billing',
    version: '0.0.0',
    config: loadConfig(Type.Object({ ...baseConfig }), {
      WATTLE_ENV: 'test',
      WATTLE_SERVICE_PORT: '0',
      WATTLE_LOG_LEVEL: 'silent',
    }),
    authenticate: () => Promise.resolve({ service: 'payment', roles: [] }),
  })
  addRoute(app, reservationRoutes.reserve, async ({ body }) => {
    await hooks.before?.(body)
    const { userId: _, ...reservation } = hold(body)
    await hooks.after?.(body)
    return reservation
  })

  function hold(body: ReserveBody): Reservation & { userId: string } {
    const { paymentId, userId, billId, currency, amountMinor, couponCode } = body
    const known = holds.get(paymentId)
    if (known?.state === 'released') {
      throw new AppError('PAYMENT_STATE_CONFLICT', 'This hold was released.')
    }
    if (known) return known
    const bill = bills.get(billId)
    if (bill?.userId !== userId) throw new AppError('NOT_FOUND', 'You have no such bill.')
    if (bill.currency !== currency) {
      throw new AppError('CURRENCY_MISMATCH', `The bill is in ${bill.currency}.`)
    }
    const due = bill.totalMinor - bill.paidMinor - bill.reservedMinor
    if (amountMinor > due) {
      throw new AppError('AMOUNT_EXCEEDS_DUE', `Still due are ${due} ${bill.currency}.`)
    }
    const discount = couponCode === undefined ? 0 : coupons[couponCode]
    if (discount === undefined) throw new AppError('COUPON_REFUSED', 'There is no such coupon.')
    bill.reservedMinor += amountMinor
    const discountMinor = Math.min(discount, amountMinor)
    const chargeMinor = amountMinor - discountMinor
    const { providerId } = bill
    const made = {
      paymentId,
      billId,
      providerId,
      currency,
      amountMinor,
      discountMinor,
      chargeMinor,
    }
    holds.set(paymentId, { ...made, userId, state: 'reserved' })
    return { ...made, userId, state: 'reserved' }
  }

  /** What billing's consumer does with an event; called with each once, in order. */
  function learn({ type, payload }: Told): void {
    const paymentId = payload['paymentId'] as Id<'pay'>
    const billId = payload['billId'] as Id<'bil'>
    const amountMinor = payload['amountMinor'] as number
    const known = holds.get(paymentId)
    const bill = bills.get(billId)
    if (type === 'payment.refunded') {
      if (bill) bill.paidMinor -= payload['refundedMinor'] as number
      return
    }
    const isSuccess = type === 'payment.succeeded'
    if (known?.state === 'reserved' && bill) {
      bill.reservedMinor -= amountMinor
      if (isSuccess) bill.paidMinor += amountMinor
      holds.set(paymentId, { ...known, state: isSuccess ? 'committed' : 'released' })
    } else if (isSuccess) {
      throw new Error(`a payment succeeded without a hold: ${paymentId} (${known?.state})`)
    } else {
      const providerId = newId('prv')
      const userId = payload['userId'] as string
      const rest = { providerId, userId, discountMinor: 0, chargeMinor: amountMinor }
      const currency = payload['currency'] as 'NGN'
      holds.set(paymentId, { paymentId, billId, currency, amountMinor, ...rest, state: 'released' })
    }
  }

  const baseUrl = await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    baseUrl,
    bills,
    holds,
    hooks,
    learn,
    addBill(userId: string, totalMinor = 1_000, currency: 'NGN' | 'USD' = 'NGN'): FixtureBill {
      const bill: FixtureBill = {
        id: newId('bil'),
        userId,
        providerId: newId('prv'),
        currency,
        totalMinor,
        paidMinor: 0,
        reservedMinor: 0,
      }
      bills.set(bill.id, bill)
      return bill
    },
    stop: () => app.close(),
  }
}

export type BillingFixture = Awaited<ReturnType<typeof startBillingFixture>>
