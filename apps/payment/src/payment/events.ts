import type { Id } from '@wattle/contracts'
import type { PaymentRow } from './payment-store.ts'

/** The part of a payload that all events of a payment share. */
export function aboutPayment(row: PaymentRow) {
  return {
    paymentId: row.id as Id<'pay'>,
    userId: row.user_id as Id<'usr'>,
    billId: row.bill_id as Id<'bil'>,
    currency: row.currency,
    amountMinor: row.amount_minor,
  }
}

/** The envelope of an event of a payment. */
export function envelopeOf(row: PaymentRow, causationId: string) {
  return { subject: row.id, correlationId: row.correlation_id, causationId }
}
