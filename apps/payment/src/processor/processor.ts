import type { Currency } from '@wattle/contracts'
import type { IncomingHttpHeaders } from 'node:http'

/** What is charged. The key is the payment's id: one charge for each key, however often it is asked for. */
export type ChargeRequest = {
  readonly key: string
  readonly instrument: string
  readonly currency: Currency
  readonly amountMinor: number
}

export type RefundRequest = {
  /** The refund's id: one refund for each key. */
  readonly key: string
  readonly chargeKey: string
  readonly currency: Currency
  readonly amountMinor: number
}

/** Said once, true for ever. */
export type FinalAnswer =
  | { readonly outcome: 'succeeded'; readonly currency: Currency; readonly amountMinor: number }
  | { readonly outcome: 'failed'; readonly reason: string }

/** `pending`: received, and not decided yet. */
export type Answer = FinalAnswer | { readonly outcome: 'pending' }

/** `never_received`: at this moment the processor knows nothing under this key; a request may still be on its way. */
export type LookupAnswer = Answer | { readonly outcome: 'never_received' }

/** What a callback tells, after its signature was verified. */
export type Callback = {
  /** The processor's id of the message; a repeated one is a repetition. */
  readonly id: string
  readonly type: string
  readonly chargeKey: string
  readonly answer: Answer
}

/**
 * A payment processor. The sandbox implements it here; an adapter to a real one must keep the same promises:
 *
 * - every call is idempotent by its key, also when two are under way at once, and refuses the same key with another
 *   amount;
 * - a rejection, a time-out included, says nothing about what happened; only an answer does;
 * - `succeeded` and `failed` are final;
 * - after `cancelCharge` has answered `failed`, no charge under this key will ever be made, also when a request for it
 *   arrives later. (Where a processor has no such call, the adapter creates the charge first and captures it second.)
 *
 * Calls should end when `signal` aborts; the caller does not wait for them longer either way.
 */
export type Processor = {
  readonly name: string
  /** Whether the token names an instrument of this processor. Local: no call is made. */
  knows(instrument: string): boolean
  charge(request: ChargeRequest, signal: AbortSignal): Promise<Answer>
  lookupCharge(key: string, signal: AbortSignal): Promise<LookupAnswer>
  /** Makes sure that nothing is charged any more; answers what was decided before, where something was. */
  cancelCharge(request: ChargeRequest, signal: AbortSignal): Promise<Answer>
  refund(request: RefundRequest, signal: AbortSignal): Promise<Answer>
  lookupRefund(key: string, signal: AbortSignal): Promise<LookupAnswer>
  /**
   * Reads a callback from its exact bytes. Throws AppError('SIGNATURE_INVALID') unless this processor signed it
   * lately, and AppError('VALIDATION_FAILED') for signed content that cannot be understood.
   */
  readCallback(headers: IncomingHttpHeaders, body: Buffer): Callback
}

/** Ends the wait for a call at `timeoutMs`, whether or not the call heeds its signal. */
export async function bounded<T>(
  timeoutMs: number,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = Promise.withResolvers<never>()
  const controller = new AbortController()
  const timer = setTimeout(() => {
    const error = new Error(`the processor did not answer within ${timeoutMs} ms`)
    late.reject(error)
    controller.abort(error)
  }, timeoutMs)
  try {
    return await Promise.race([call(controller.signal), late.promise])
  } finally {
    clearTimeout(timer)
  }
}
