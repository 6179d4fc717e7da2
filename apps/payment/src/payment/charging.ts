import { bounded, type Answer, type LookupAnswer, type Processor } from '../processor/processor.ts'
import { askAgainInMs, type Timing } from '../timing.ts'
import type { Lifecycle } from './lifecycle.ts'
import { paymentStore, type PaymentRow } from './payment-store.ts'
import type { InUnit } from './unit.ts'

export type Charging = ReturnType<typeof createCharging>

/**
 * Talks to the processor about payments that were confirmed, and settles them by what it says. Any number of
 * processes may do so for one payment at the same time: the processor knows the charge by the payment's id, and
 * `settle` takes effect once.
 */
export function createCharging(deps: {
  inUnit: InUnit
  lifecycle: Lifecycle
  processor: Processor
  timing: Timing
  log: { warn(details: object, message: string): void }
  random: () => number
}) {
  const { inUnit, lifecycle, processor, timing, log, random } = deps

  const requestOf = (row: PaymentRow) => ({
    key: row.id,
    instrument: row.instrument,
    currency: row.currency,
    amountMinor: row.charge_minor,
  })

  /** What the processor says, or undefined when it does not. */
  async function said<T extends LookupAnswer>(
    row: PaymentRow,
    call: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await bounded(timing.processorTimeoutMs, call)
    } catch (error) {
      log.warn({ err: error, paymentId: row.id }, 'no answer from the processor')
      return undefined
    }
  }

  async function conclude(row: PaymentRow, answer: Answer | undefined, cause: string) {
    const ageMs = row.confirmed_at === null ? 0 : Date.now() - row.confirmed_at.getTime()
    const askInMs = askAgainInMs(row.attempts, ageMs, random)
    await inUnit(async (unit) => {
      if (answer === undefined) await lifecycle.unclear(unit, row.id, askInMs)
      else if (answer.outcome === 'pending') await paymentStore(unit.trx).postpone(row.id, askInMs)
      else if ((await lifecycle.settle(unit, row.id, answer, cause)) === 'contradicts') {
        // No effect on one that is settled; one that is not is asked about ever more seldom.
        await paymentStore(unit.trx).postpone(row.id, askInMs)
      }
    })
  }

  async function charge(row: PaymentRow, cause: string): Promise<void> {
    const answer = await said(row, (signal) => processor.charge(requestOf(row), signal))
    await conclude(row, answer, cause)
  }

  /**
   * Asks what became of a charge. When the processor never received it, it is sent again under the same key while the
   * payment is young; afterwards the processor is told never to take it, since its payer has long stopped waiting.
   */
  async function ask(row: PaymentRow, cause: string): Promise<void> {
    const answer = await said(row, (signal) => processor.lookupCharge(row.id, signal))
    if (answer?.outcome !== 'never_received') return conclude(row, answer, cause)
    const ageMs = row.confirmed_at === null ? 0 : Date.now() - row.confirmed_at.getTime()
    if (ageMs < timing.chargeAgainForMs) return charge(row, cause)
    const final = await said(row, (signal) => processor.cancelCharge(requestOf(row), signal))
    await conclude(row, final, cause)
  }

  return { charge, ask }
}
