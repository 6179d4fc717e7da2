import { Type, type Static, type TSchema } from 'typebox'
import { idSchema } from './ids.ts'
import { AmountMinor, Currency } from './money.ts'

/** What every event carries beside its payload. */
export const EventEnvelope = Type.Object({
  id: idSchema('evt'),
  type: Type.String({ maxLength: 100 }),
  /** What the event is about: `pay_…`. Events of one subject are delivered in the order of their versions. */
  subject: Type.String({ maxLength: 100 }),
  version: Type.Integer({ minimum: 1, description: 'Grows by one with each event of the subject' }),
  occurredAt: Type.String({ format: 'date-time' }),
  correlationId: Type.String({
    maxLength: 128,
    description: 'Id of the request that began it all',
  }),
  causationId: Type.String({
    maxLength: 128,
    description: 'Id of the request or event that led to this one',
  }),
})

const settled = {
  paymentId: idSchema('pay'),
  userId: idSchema('usr'),
  billId: idSchema('bil'),
  currency: Currency,
  amountMinor: AmountMinor,
}

/** Payload schemas by event type. */
export const eventTypes = {
  'payment.succeeded': Type.Object({
    ...settled,
    discountMinor: AmountMinor,
    chargedMinor: AmountMinor,
  }),
  'payment.failed': Type.Object({ ...settled, reason: Type.String({ maxLength: 100 }) }),
  'payment.canceled': Type.Object({ ...settled, reason: Type.String({ maxLength: 100 }) }),
  'payment.refunded': Type.Object({
    ...settled,
    refundId: idSchema('ref'),
    refundedMinor: AmountMinor,
  }),
} as const satisfies Record<string, TSchema>

export type EventType = keyof typeof eventTypes
export type EventPayload<T extends EventType> = Static<(typeof eventTypes)[T]>
/** An event as a consumer receives it. */
export type WattleEvent<T extends EventType = EventType> = {
  [K in T]: Omit<Static<typeof EventEnvelope>, 'type'> & { type: K; payload: EventPayload<K> }
}[T]
