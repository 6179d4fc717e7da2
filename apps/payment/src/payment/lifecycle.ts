import type { Reservation } from '@wattle/contracts'
import {
  couponsAccount,
  post,
  processorAccount,
  promise,
  providerAccount,
  voidPending,
  type Line,
} from '../ledger/ledger.ts'
import type { FinalAnswer } from '../processor/processor.ts'
import type { Timing } from '../timing.ts'
import { appendEvents } from '@wattle/events'
import { aboutPayment, envelopeOf } from './events.ts'
import { paymentStore, type NewPayment, type PaymentRow } from './payment-store.ts'
import type { Unit } from './unit.ts'

/*
 * The life of a payment
 * =====================
 *
 * Processes die and freeze between any two lines, clients retry, callbacks arrive before the call that caused them
 * returns, and a frozen copy wakes up long after others went on without it. What keeps money right through all this is
 * not that it does not happen, nor any lock or lease, but these invariants, each held by the database:
 *
 *  1. One writer wins. Every transition is one UPDATE whose WHERE names the state it starts from; who gets no row has
 *     changed nothing, and reads what the winner wrote. A trigger refuses transitions that are not in the diagram.
 *
 *         requires_confirmation ──> processing ──> succeeded ──> (refunds)
 *                   │                │      │
 *                   v                v      └────> failed
 *                canceled         unknown ──> succeeded | failed
 *
 *  2. A transition takes its consequences with it. State, ledger and outgoing event are one transaction, so there is
 *     never a succeeded payment that billing is not told of, nor a ledger that says otherwise than the payment.
 *
 *  3. Intent before effect. Whatever happens outside (a hold in billing, a charge, a refund) has a committed row that
 *     is older than it, and is asked for under that row's id. So nothing outside can exist that nobody here knows of,
 *     and asking twice is asking once.
 *
 *  4. Only an answer settles. A time-out, a broken connection or a crash makes a payment `unknown`, never failed. It
 *     is then asked about, not charged anew under another key. It fails only on the processor's word that it failed,
 *     or that it will never be charged (`cancelCharge`).
 *
 *  5. Nothing is forgotten. Every payment and refund that is not at rest has a time at which the janitor looks at it
 *     (a CHECK ties the two together).
 *
 *  6. A hold ends once. Every payment that ends without success tells billing so, whether or not a hold is known here.
 *     Billing remembers a release even of a hold it has never seen, and refuses the hold that comes after it: the
 *     one that a frozen process still had in flight.
 *
 *  7. A bill is charged once because its amount is held before it is charged: billing's conditional update refuses the
 *     second payment for the same amount, and a payment has one charge, under its own id, for ever.
 *
 * What is not promised: that a payment which nobody heard of again within seconds succeeds (it may be failed by the
 * processor's cancellation, and its amount is free again); that a processor which contradicts itself is believed. The
 * first final answer stays, the contradiction is recorded for a person and reported by the verification of the ledger.
 *
 * README.md has the table of what is left, and who goes on, after a crash at each step.
 */

/** What came of a final answer: it settled the payment; it had been settled so before; or it cannot be true. */
export type Settlement = 'settled' | 'already_settled' | 'contradicts' | 'not_ours'

export type Lifecycle = ReturnType<typeof createLifecycle>

/**
 * The transitions of a payment, each to be run in a transaction. They return the row as it is afterwards, or undefined
 * when the payment was not in a state that allows it. `cause` is the id of the request or message that led to it.
 */
export function createLifecycle(deps: {
  processor: string
  timing: Timing
  log: { error(details: object, message: string): void }
}) {
  const { timing, log } = deps

  async function ended(unit: Unit, row: PaymentRow | undefined, cause: string) {
    if (row === undefined) return undefined
    const reason = row.failure_reason ?? 'unknown'
    await appendEvents(unit.trx, [
      {
        ...envelopeOf(row, cause),
        type: row.state === 'failed' ? 'payment.failed' : 'payment.canceled',
        payload: { ...aboutPayment(row), reason },
      },
    ])
    unit.touch(row.user_id)
    return row
  }

  return {
    /** Requires_confirmation, not held yet; the hold is asked for under this id afterwards. */
    open: (unit: Unit, payment: NewPayment) =>
      paymentStore(unit.trx).insert(payment, timing.createAbandonedAfterMs),

    /** Billing holds the amount. */
    async hold(unit: Unit, id: string, reservation: Reservation) {
      const row = await paymentStore(unit.trx).hold(id, reservation, timing.confirmWithinMs)
      if (row !== undefined) unit.touch(row.user_id)
      return row
    },

    /** Billing refuses to hold the amount. */
    refuse: async (unit: Unit, id: string, reason: string, cause: string) =>
      ended(unit, await paymentStore(unit.trx).cancel(id, 'pending', 'refused', reason), cause),

    /** Nobody waits for this creation any more, and what billing said is not known. */
    abandon: async (unit: Unit, id: string, cause: string) =>
      ended(
        unit,
        await paymentStore(unit.trx).cancel(id, 'pending', 'abandoned', 'abandoned'),
        cause,
      ),

    /** Its payer, or time, ends it before it is confirmed. */
    cancel: async (unit: Unit, id: string, reason: 'requested' | 'expired', cause: string) =>
      ended(unit, await paymentStore(unit.trx).cancel(id, 'reserved', 'reserved', reason), cause),

    /** Its payer confirms: from here on it may be charged. */
    async startCharge(unit: Unit, id: string, userId: string) {
      const row = await paymentStore(unit.trx).startCharge(id, userId, timing.askAfterMs)
      if (row === undefined) return undefined
      await promise(unit.trx, { paymentId: id }, row.currency, chargeLines(deps.processor, row))
      unit.touch(row.user_id)
      return row
    },

    /** The charge got no clear answer. */
    async unclear(unit: Unit, id: string, askInMs: number) {
      const row = await paymentStore(unit.trx).unclear(id, askInMs)
      if (row !== undefined) unit.touch(row.user_id)
      return row
    },

    /** The processor has spoken. Whoever brings its answer, and however often, it takes effect once. */
    async settle(unit: Unit, id: string, answer: FinalAnswer, cause: string): Promise<Settlement> {
      const store = paymentStore(unit.trx)
      if (answer.outcome === 'succeeded') {
        const row = await store.succeed(id, answer)
        if (row !== undefined) {
          await post(unit.trx, { paymentId: id })
          await appendEvents(unit.trx, [
            {
              ...envelopeOf(row, cause),
              type: 'payment.succeeded',
              payload: {
                ...aboutPayment(row),
                discountMinor: row.discount_minor,
                chargedMinor: row.charge_minor,
              },
            },
          ])
          unit.touch(row.user_id)
          return 'settled'
        }
      } else {
        const row = await store.fail(id, answer.reason)
        if (row !== undefined) {
          await voidPending(unit.trx, { paymentId: id })
          await ended(unit, row, cause)
          return 'settled'
        }
      }

      const row = await store.byId(id)
      if (row === undefined) return 'not_ours'
      if (agrees(row, answer)) return 'already_settled'
      const note = {
        subjectId: id,
        recorded: row.state,
        reported: describeAnswer(answer),
        source: cause,
      }
      if (await store.noteContradiction(note)) {
        log.error({ ...note, chargeMinor: row.charge_minor }, 'a processor contradicts itself')
      }
      return 'contradicts'
    },
  }
}

/** Who owes whom: the processor hands over what it takes, the coupon's sponsor the discount; the provider gets both. */
function chargeLines(processor: string, row: PaymentRow): Line[] {
  if (row.provider_id === null) throw new Error(`payment ${row.id} is held without a provider`)
  return [
    { account: processorAccount(processor), amountMinor: row.charge_minor },
    { account: couponsAccount, amountMinor: row.discount_minor },
    { account: providerAccount(row.provider_id), amountMinor: -row.amount_minor },
  ]
}

function agrees(row: PaymentRow, answer: FinalAnswer): boolean {
  if (row.state !== answer.outcome) return false
  if (answer.outcome === 'failed') return true
  return row.charge_minor === answer.amountMinor && row.currency === answer.currency
}

/** An answer in words, for the record. */
export function describeAnswer(answer: FinalAnswer): string {
  return answer.outcome === 'failed'
    ? `failed: ${answer.reason}`
    : `succeeded: ${answer.amountMinor} ${answer.currency}`
}
