import { AppError } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { Log } from '@wattle/redis'
import { decodeEntry, payloadFault, type AnyEvent } from './entry.ts'
import {
  advancePlace,
  deleteDeadLetter,
  failedAgain,
  findDeadLetter,
  firstDeadLetter,
  listDeadLetters,
  lockPlace,
  parkFrom,
  type DeadLetter,
} from './inbox-store.ts'
import { textOf } from './outage.ts'
import type { Effect } from './settle.ts'

export type DeadLetters = {
  /** From the oldest; `afterId` is the last of the previous page. `limit` defaults to 100. */
  list(page?: { limit?: number; afterId?: number }): Promise<DeadLetter[]>
  /**
   * Handles the event now, once, and then those that wait behind it, until one fails. With `skipMissing` also where
   * earlier versions never came. Returns how many were handled, and what stopped it, if anything did.
   *
   * @throws AppError NOT_FOUND, and VERSION_CONFLICT when another dead letter of its subject comes first.
   */
  redrive(id: number, options?: { skipMissing?: boolean }): Promise<Redriven>
  /**
   * Gives the event up for good: its subject goes on as if it had been handled, with those that wait behind it.
   * `reason` goes to the log. Throws as `redrive` does.
   */
  discard(id: number, reason: string): Promise<Redriven>
}

export type Redriven = { handled: number; stoppedBy?: string }

type Step = { handled?: AnyEvent; next: 'again' | 'end' }

export function createDeadLetters<DB>({
  database,
  effect,
  afterCommit,
  log,
}: {
  database: Database<DB>
  effect: Effect<DB>
  afterCommit: (event: AnyEvent) => Promise<void>
  log: Log | undefined
}) {
  const { kysely } = database

  /** One step along a subject's dead letters: what `force` names, or what waits and whose turn has come. */
  function step(first: DeadLetter, force: { id: number; skipMissing: boolean } | undefined) {
    const { stream, subject } = first
    return database.transaction(async (trx): Promise<Step> => {
      if (subject === null) return { handled: await handle(first), next: 'end' }
      const place = await lockPlace(trx, stream, subject)
      const letter = await firstDeadLetter(trx, stream, subject)
      await parkFrom(trx, stream, subject, letter?.version ?? null)
      if (!letter || letter.version === null) return { next: 'end' }
      if (letter.version <= place.version) {
        await deleteDeadLetter(trx, letter.id)
        return { next: 'again' }
      }
      const forced = force?.id === letter.id
      const isNext = letter.version === place.version + 1
      if (!forced && !(isNext && (letter.cause === 'behind' || letter.cause === 'gap'))) {
        return { next: 'end' }
      }
      if (!isNext && !force?.skipMissing) {
        throw new Error(`versions ${place.version + 1} to ${letter.version - 1} have not come`)
      }
      return { handled: await handle(letter), next: 'again' }

      async function handle(letter: DeadLetter): Promise<AnyEvent> {
        const event = readable(letter)
        try {
          await effect(event, trx)
        } catch (error) {
          throw new FailedLetter(letter, error)
        }
        await advancePlace(trx, letter.stream, event)
        await deleteDeadLetter(trx, letter.id)
        return event
      }
    })
  }
}
