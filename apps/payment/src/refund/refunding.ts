import type { Id } from '@wattle/contracts'
import { post, processorAccount, promise, providerAccount, voidPending } from '../ledger/ledger.ts'
import { appendEvents } from '@wattle/events'
import { aboutPayment, envelopeOf } from '../payment/events.ts'
import { describeAnswer, type Settlement } from '../payment/lifecycle.ts'
import { paymentStore } from '../payment/payment-store.ts'
import type { InUnit, Unit } from '../payment/unit.ts'
import {
  bounded,
  type FinalAnswer,
  type LookupAnswer,
  type Processor,
} from '../processor/processor.ts'
import { askAgainInMs, type Timing } from '../timing.ts'
import { refundStore, type RefundRow } from './refund-store.ts'

export type Refunding = ReturnType<typeof createRefunding>

/**
 * Refunds, by the invariants of payments (see payment/lifecycle.ts): the amount is held on the payment in the
 * transaction that stores the refund; the processor is asked under the refund's id, again and again until it answers,
 * since what was promised to the payer is owed; the answer settles it once.
 */
export function createRefunding(deps: {
  inUnit: InUnit
  processor: Processor
  timing: Timing
  log: {
    warn(details: object, message: string): void
    error(details: object, message: string): void
  }
  random: () => number
}) {
  const { inUnit, processor, timing, log, random } = deps

  /** Holds the amount and stores the refund; undefined when the payment does not allow it. */
  async function start(
    unit: Unit,
    refund: { id: string; paymentId: string; userId: string; amountMinor: number; cause: string },
  ): Promise<RefundRow | undefined> {
    const { id, paymentId, userId, amountMinor, cause } = refund
    const payment = await paymentStore(unit.trx).holdRefund(paymentId, userId, amountMinor)
    if (payment === undefined) return undefined
    if (payment.provider_id === null) throw new Error(`payment ${paymentId} has no provider`)
    const row = await refundStore(unit.trx).insert(
      {
        id,
        payment_id: paymentId,
        currency: payment.currency,
        amount_minor: amountMinor,
        correlation_id: cause,
      },
      timing.askAfterMs,
    )
    await promise(unit.trx, { paymentId, refundId: id }, payment.currency, [
      { account: providerAccount(payment.provider_id), amountMinor },
      { account: processorAccount(processor.name), amountMinor: -amountMinor },
    ])
    return row
  }

  async function settle(
    unit: Unit,
    id: string,
    answer: FinalAnswer,
    cause: string,
  ): Promise<Settlement> {
    const refunds = refundStore(unit.trx)
    const payments = paymentStore(unit.trx)
    if (answer.outcome === 'succeeded') {
      const given = { currency: answer.currency, amount_minor: answer.amountMinor }
      const row = await refunds.succeed(id, given)
      if (row !== undefined) {
        const payment = await payments.completeRefund(row.payment_id, row.amount_minor)
        await post(unit.trx, { paymentId: row.payment_id, refundId: id })
        await appendEvents(unit.trx, [
          {
            ...envelopeOf(payment, cause),
            correlationId: row.correlation_id,
            type: 'payment.refunded',
            payload: {
              ...aboutPayment(payment),
              refundId: id as Id<'ref'>,
              refundedMinor: row.amount_minor,
            },
          },
        ])
        unit.touch(payment.user_id)
        return 'settled'
      }
    } else {
      const row = await refunds.fail(id, answer.reason)
      if (row !== undefined) {
        await payments.dropRefund(row.payment_id, row.amount_minor)
        await voidPending(unit.trx, { paymentId: row.payment_id, refundId: id })
        return 'settled'
      }
    }

    const row = await refunds.byId(id)
    if (row === undefined) return 'not_ours'
    if (row.state === answer.outcome) {
      if (answer.outcome === 'failed' || row.amount_minor === answer.amountMinor) {
        return 'already_settled'
      }
    }
    const reported = describeAnswer(answer)
    const note = { subjectId: id, recorded: row.state, reported, source: cause }
    if (await payments.noteContradiction(note)) {
      log.error({ ...note, amountMinor: row.amount_minor }, 'a processor contradicts itself')
    }
    return 'contradicts'
  }

  async function said<T extends LookupAnswer>(
    row: RefundRow,
    call: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await bounded(timing.processorTimeoutMs, call)
    } catch (error) {
      log.warn({ err: error, refundId: row.id }, 'no answer from the processor')
      return undefined
    }
  }

  /** Asks the processor to give the money back, and settles the refund when it answers. */
  async function give(row: RefundRow, cause: string): Promise<void> {
    const request = {
      key: row.id,
      chargeKey: row.payment_id,
      currency: row.currency,
      amountMinor: row.amount_minor,
    }
    await conclude(row, await said(row, (signal) => processor.refund(request, signal)), cause)
  }

  /** Asks what became of a refund; one that was never received is asked for again. */
  async function ask(row: RefundRow, cause: string): Promise<void> {
    const answer = await said(row, (signal) => processor.lookupRefund(row.id, signal))
    if (answer?.outcome === 'never_received') return give(row, cause)
    await conclude(row, answer, cause)
  }

  async function conclude(
    row: RefundRow,
    answer: Exclude<LookupAnswer, { outcome: 'never_received' }> | undefined,
    cause: string,
  ): Promise<void> {
    const ageMs = Date.now() - row.created_at.getTime()
    const askInMs = askAgainInMs(row.attempts, ageMs, random)
    await inUnit(async (unit) => {
      const store = refundStore(unit.trx)
      if (answer === undefined) await store.unclear(row.id, askInMs)
      else if (answer.outcome === 'pending') await store.postpone(row.id, askInMs)
      else if ((await settle(unit, row.id, answer, cause)) === 'contradicts') {
        await store.postpone(row.id, askInMs)
      }
    })
  }

  return { start, give, ask }
}
