import { Type, type Static } from 'typebox'
import { CouponCode } from './coupon.ts'
import { idSchema } from './ids.ts'
import { AmountMinor, Currency } from './money.ts'
import { defineRoute } from './route.ts'
import { Timestamp } from './time.ts'

const closed = { additionalProperties: false }
const PositiveMinor = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'Integer minor units of the currency (kobo, cents), at least 1',
})

/**
 * `unknown`: the processor did not answer clearly; it is asked again until it does. A time-out is never a failure.
 */
export const PaymentState = Type.Enum([
  'requires_confirmation',
  'processing',
  'unknown',
  'succeeded',
  'failed',
  'canceled',
])
export type PaymentState = Static<typeof PaymentState>

export const Payment = Type.Object({
  id: idSchema('pay'),
  billId: idSchema('bil'),
  state: PaymentState,
  currency: Currency,
  amountMinor: AmountMinor,
  discountMinor: AmountMinor,
  chargeMinor: AmountMinor,
  refundedMinor: AmountMinor,
  instrument: Type.String(),
  failureReason: Type.Union([Type.String(), Type.Null()]),
  createdAt: Timestamp,
  updatedAt: Timestamp,
})
export type Payment = Static<typeof Payment>

export const Refund = Type.Object({
  id: idSchema('ref'),
  paymentId: idSchema('pay'),
  state: Type.Enum(['processing', 'unknown', 'succeeded', 'failed']),
  currency: Currency,
  amountMinor: AmountMinor,
  failureReason: Type.Union([Type.String(), Type.Null()]),
  createdAt: Timestamp,
})
export type Refund = Static<typeof Refund>

export const PaymentQuery = Type.Object(
  {
    state: Type.Optional(PaymentState),
    billId: Type.Optional(idSchema('bil')),
    from: Type.Optional(Timestamp),
    to: Type.Optional(Timestamp),
    limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
    cursor: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, pattern: '^[A-Za-z0-9_-]+$' }),
    ),
  },
  closed,
)
export type PaymentQuery = Static<typeof PaymentQuery>

const onePayment = Type.Object({ paymentId: idSchema('pay') }, closed)
const idempotency = [
  'IDEMPOTENCY_KEY_REQUIRED',
  'IDEMPOTENCY_KEY_REUSED',
  'IDEMPOTENCY_IN_PROGRESS',
] as const

export const paymentRoutes = {
  createPayment: defineRoute({
    name: 'createPayment',
    method: 'POST',
    path: '/payments',
    summary: 'Hold an amount of one of your bills; nothing is charged until it is confirmed',
    auth: 'user',
    whenUnknown: 'closed',
    idempotencyKey: 'required',
    body: Type.Object(
      {
        billId: idSchema('bil'),
        amountMinor: PositiveMinor,
        currency: Currency,
        instrument: Type.String({
          pattern: '^[a-z0-9_]{1,64}$',
          description:
            'Token of a payment instrument; the sandbox knows test_success, test_declined and others',
        }),
        couponCode: Type.Optional(CouponCode),
      },
      closed,
    ),
    replies: { 201: Payment },
    errors: [
      ...idempotency,
      'NOT_FOUND',
      'BILL_NOT_PAYABLE',
      'AMOUNT_EXCEEDS_DUE',
      'CURRENCY_MISMATCH',
      'COUPON_REFUSED',
      'INSTRUMENT_UNKNOWN',
    ],
  }),
  confirmPayment: defineRoute({
    name: 'confirmPayment',
    method: 'POST',
    path: '/payments/:paymentId/confirm',
    summary: 'Charge the instrument; ask for the payment again while it is processing or unknown',
    auth: 'user',
    whenUnknown: 'closed',
    idempotencyKey: 'required',
    params: onePayment,
    replies: { 200: Payment },
    errors: [...idempotency, 'NOT_FOUND', 'PAYMENT_STATE_CONFLICT'],
  }),
  cancelPayment: defineRoute({
    name: 'cancelPayment',
    method: 'POST',
    path: '/payments/:paymentId/cancel',
    summary: 'Give the held amount back; possible until it is confirmed',
    auth: 'user',
    whenUnknown: 'closed',
    idempotencyKey: 'required',
    params: onePayment,
    replies: { 200: Payment },
    errors: [...idempotency, 'NOT_FOUND', 'PAYMENT_STATE_CONFLICT'],
  }),
  refundPayment: defineRoute({
    name: 'refundPayment',
    method: 'POST',
    path: '/payments/:paymentId/refunds',
    summary: 'Give back all or a part of a succeeded payment',
    auth: 'user',
    whenUnknown: 'closed',
    idempotencyKey: 'required',
    params: onePayment,
    body: Type.Object({ amountMinor: PositiveMinor }, closed),
    replies: { 201: Refund },
    errors: [...idempotency, 'NOT_FOUND', 'PAYMENT_STATE_CONFLICT', 'REFUND_EXCEEDS_PAYMENT'],
  }),
  listRefunds: defineRoute({
    name: 'listRefunds',
    method: 'GET',
    path: '/payments/:paymentId/refunds',
    summary: 'What was given back of a payment, and what is under way; the latest first',
    auth: 'user',
    params: onePayment,
    replies: { 200: Type.Object({ items: Type.Array(Refund) }) },
    errors: ['NOT_FOUND'],
  }),
  getPayment: defineRoute({
    name: 'getPayment',
    method: 'GET',
    path: '/payments/:paymentId',
    summary: 'One of your payments',
    auth: 'user',
    params: onePayment,
    replies: { 200: Payment },
    errors: ['NOT_FOUND'],
  }),
  listPayments: defineRoute({
    name: 'listPayments',
    method: 'GET',
    path: '/payments',
    summary: 'Your payments, the latest first',
    auth: 'user',
    query: PaymentQuery,
    replies: {
      200: Type.Object({
        items: Type.Array(Payment),
        nextCursor: Type.Union([Type.String(), Type.Null()]),
      }),
    },
  }),
  listRecentPayments: defineRoute({
    name: 'listRecentPayments',
    method: 'GET',
    path: '/payments/recent',
    summary: 'Your ten latest payments',
    auth: 'user',
    replies: { 200: Type.Object({ items: Type.Array(Payment) }) },
  }),
  takeCallback: defineRoute({
    name: 'takeCallback',
    method: 'POST',
    path: '/processors/:processor/callbacks',
    summary:
      'For processors: a callback, signed in the form of Standard Webhooks over its exact bytes',
    auth: 'public',
    params: Type.Object({ processor: Type.String({ pattern: '^[a-z0-9_]{1,32}$' }) }, closed),
    replies: { 204: Type.Null() },
    errors: ['BAD_REQUEST', 'SIGNATURE_INVALID', 'NOT_FOUND'],
  }),
  verifyLedger: defineRoute({
    name: 'verifyLedger',
    method: 'GET',
    path: '/ledger/verify',
    summary: 'Whether the ledger balances and agrees with the payments',
    auth: 'service',
    deadlineMs: 30_000,
    replies: {
      200: Type.Object({
        balanced: Type.Boolean(),
        transactions: Type.Integer(),
        entries: Type.Integer(),
        findings: Type.Array(Type.String()),
      }),
    },
  }),
} as const
