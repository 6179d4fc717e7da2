import { couponRoutes } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { addRoute } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import { amountsOf, dueOf, refusalOf } from '../reservations/bill-amounts.ts'
import type { DB } from '../schema.ts'
import { previewCoupon } from './coupon-store.ts'

/** What a coupon would take off. Nothing is held: what counts is what holds when the payment is made. */
export function addCouponRoutes(
  app: FastifyInstance,
  { database, now }: { database: Pick<Database<DB>, 'within'>; now: () => number },
): void {
  addRoute(app, couponRoutes.previewCoupon, async ({ body, user, request }) => {
    const { kysely } = database.within(request.deadline.signal)
    const { code, billId } = body
    const { userId } = user
    const bill = await amountsOf(kysely, { userId, billId })
    const currency = bill?.currency ?? 'NGN'
    // Where nothing is due, one unit is refused with the reason.
    const amountMinor = body.amountMinor ?? Math.max(1, bill ? dueOf(bill) : 1)
    const refusal = refusalOf(bill, { currency, amountMinor })
    if (refusal || !bill) throw refusal
    const use = { code, userId, providerId: bill.provider_id, currency, amountMinor }
    const preview = await previewCoupon(kysely, { ...use, now: new Date(now()) })
    const chargeMinor = amountMinor - preview.discountMinor
    return { ...preview, currency, amountMinor, chargeMinor }
  })
}
