import type { Id, Payment } from '@wattle/contracts'
import type { PaymentRow } from './payment-store.ts'

/** A payment as its payer sees it. */
export function paymentView(row: PaymentRow): Payment {
  return {
    id: row.id as Id<'pay'>,
    billId: row.bill_id as Id<'bil'>,
    state: row.state,
    currency: row.currency,
    amountMinor: row.amount_minor,
    discountMinor: row.discount_minor,
    chargeMinor: row.charge_minor,
    refundedMinor: row.refunded_minor,
    instrument: row.instrument,
    failureReason: row.failure_reason,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  }
}
