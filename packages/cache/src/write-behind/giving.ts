import type { HeldWork } from '../locks/work-within.ts'
import { SourceAwayError, type Delivery } from './delivery.ts'
import type { Held } from './held.ts'
import type { Parts } from './parts.ts'

/** Changes without an answer among those that are given each by itself, before that ends. */
const mostSilent = 2

/**
 * Gives the source what is due: what it has not refused, in batches; then some of what it has, each by itself.
 *
 * No answer, or that of an outage, is no change's fault, unless the source answers to others at the same time: a change
 * that waits for a lock that nobody frees would hold up all others for ever. So where the last turn ended in an outage each
 * is given by itself, and who gets no answer goes to the end of the queue. When another does get one, it has a second
 * chance, and then counts as refused.
 */
export function createGiving({
  settings: { batchSize },
  held,
  now,
  delivery,
}: Pick<Parts<never>, 'settings' | 'held' | 'now'> & { delivery: Delivery }) {
  return async function giveDue(work: HeldWork, isInDoubt: boolean): Promise<void> {
    let hasAnswered = false

    async function give(batch: readonly Held[]): Promise<void> {
      await delivery.deliver(batch, work)
      hasAnswered = true
    }

    async function giveAgain(one: Held): Promise<void> {
      if (await delivery.again(one, work)) hasAnswered = true
    }

    /** Rejects when it gets no answer and nobody else did. */
    async function giveEach(
      changes: readonly Held[],
      giveOne: (one: Held) => Promise<void>,
    ): Promise<void> {
      const silent: Held[] = []
      let last: unknown
      for (const one of changes) {
        try {
          await giveOne(one)
        } catch (cause) {
          if (!(cause instanceof SourceAwayError)) throw cause
          last = cause
          held.putLast(one, now())
          if (silent.push(one) === mostSilent) break
        }
      }
      if (silent.length > 0 && !hasAnswered) throw last
      for (const one of silent) {
        try {
          await giveOne(one)
        } catch (cause) {
          if (!(cause instanceof SourceAwayError)) throw cause
          await delivery.failed(one, cause.cause)
        }
      }
    }

    const untried = held.untried()
    if (isInDoubt) await giveEach(untried.slice(0, batchSize), (one) => give([one]))
    else {
      for (let from = 0; from < untried.length; from += batchSize) {
        await give(untried.slice(from, from + batchSize))
      }
    }
    await giveEach(held.due(now()).slice(0, batchSize), giveAgain)
  }
}
