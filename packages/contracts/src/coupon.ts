import { Type } from 'typebox'
import { idSchema } from './ids.ts'
import { AmountMinor, Currency } from './money.ts'
import { defineRoute } from './route.ts'

const closed = { additionalProperties: false }

/** As a person types it; case, spaces, hyphens and Unicode form do not matter. */
export const CouponCode = Type.String({
  minLength: 1,
  maxLength: 64,
  pattern: '^[^\\u0000-\\u001f\\u007f]+$',
})

export const couponRoutes = {
  previewCoupon: defineRoute({
    name: 'previewCoupon',
    method: 'POST',
    path: '/coupons/preview',
    summary: 'What a coupon would take off a payment of this bill; reserves nothing',
    auth: 'user',
    body: Type.Object(
      {
        code: CouponCode,
        billId: idSchema('bil'),
        amountMinor: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: Number.MAX_SAFE_INTEGER,
            description: 'All that is due, where absent',
          }),
        ),
      },
      closed,
    ),
    replies: {
      200: Type.Object({
        code: Type.String(),
        currency: Currency,
        amountMinor: AmountMinor,
        discountMinor: AmountMinor,
        chargeMinor: AmountMinor,
      }),
    },
    errors: ['NOT_FOUND', 'COUPON_REFUSED', 'BILL_NOT_PAYABLE', 'AMOUNT_EXCEEDS_DUE'],
  }),
} as const
