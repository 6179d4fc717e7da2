import { Type, type Static } from 'typebox'
import { idSchema } from './ids.ts'
import { AmountMinor, Currency } from './money.ts'
import { CouponCode } from './coupon.ts'
import { defineRoute } from './route.ts'

const closed = { additionalProperties: false }

/** An amount of a bill held for one payment. `chargeMinor` = amount − discount is what the payer is charged. */
export const Reservation = Type.Object({
  paymentId: idSchema('pay'),
  billId: idSchema('bil'),
  providerId: idSchema('prv'),
  currency: Currency,
  amountMinor: AmountMinor,
  discountMinor: AmountMinor,
  chargeMinor: AmountMinor,
  state: Type.Enum(['reserved', 'committed', 'released']),
})
export type Reservation = Static<typeof Reservation>

/** Routes of billing that only the payment service calls. */
export const reservationRoutes = {
  reserve: defineRoute({
    name: 'reserve',
    method: 'POST',
    path: '/reservations',
    summary:
      'Hold an amount of a bill, and a coupon, for a payment; the same payment gets the same answer',
    auth: 'service',
    callers: ['payment'],
    body: Type.Object(
      {
        paymentId: idSchema('pay'),
        userId: idSchema('usr'),
        billId: idSchema('bil'),
        currency: Currency,
        amountMinor: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
        couponCode: Type.Optional(CouponCode),
      },
      closed,
    ),
    replies: { 200: Reservation },
    errors: [
      'NOT_FOUND',
      'BILL_NOT_PAYABLE',
      'AMOUNT_EXCEEDS_DUE',
      'CURRENCY_MISMATCH',
      'COUPON_REFUSED',
      'PAYMENT_STATE_CONFLICT',
    ],
  }),
} as const
