import { AppError } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { Log } from '@wattle/redis'
import type { Transaction } from 'kysely'
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
  SubjectBusy,
  type DeadLetter,
} from './inbox-store.ts'
import { textOf } from './outage.ts'
import { settle, type Effect } from './settle.ts'

export type Redriven = {
  handled: number
  /** What stopped it, when not all that wait behind one another could be handled. */
  stoppedBy?: string
}

export type DeadLetters = {
  /** From the oldest; `afterId` is the last of the page before. `limit` is 100 where it is not said. */
  list(page?: { limit?: number; afterId?: number }): Promise<DeadLetter[]>
  /**
   * Handles the event now, once, and then those that wait behind it, until one fails. With `skipMissing` also where
   * earlier versions never came.
   *
   * @throws AppError NOT_FOUND, or VERSION_CONFLICT when another dead letter of its subject comes first, or an event of
   * its subject is being handled this moment.
   */
  redrive(id: number, options?: { skipMissing?: boolean }): Promise<Redriven>
  /**
   * Gives the event up for good; its subject goes on, with those that wait behind it. `reason` goes to the log.
   * Throws as `redrive` does.
   */
  discard(id: number, reason: string): Promise<Redriven>
}

/** What is asked for one letter, against the order of things. */
type Demand = { id: number; action: 'handle' | 'discard'; skipMissing: boolean }

/**
 * The dead letters of a consumer. `release` handles, for one subject, what waits and whose turn has come: it is called
 * after an event of a subject with dead letters was handled.
 */
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
}): DeadLetters & { release(stream: string, subject: string): Promise<Redriven> } {
  const { kysely } = database

  async function release(stream: string, subject: string, demand?: Demand): Promise<Redriven> {
    for (let handled = 0; ;) {
      let letter: DeadLetter | undefined
      try {
        const event = await database.transaction(async (trx) => {
          const { version } = await lockPlace(trx, stream, subject)
          letter = await firstDeadLetter(trx, stream, subject)
          const done = letter && (await step(trx, letter, version, demand))
          const next = await firstDeadLetter(trx, stream, subject)
          await parkFrom(trx, stream, subject, next?.version ?? null)
          return done
        })
        if (event === undefined) return { handled }
        if (event === 'passed') continue
        handled += 1
        await afterCommit(event)
      } catch (error) {
        if (error instanceof SubjectBusy) throw busy(error)
        // A passing trouble of the database is not the letter's fault: who called tries again.
        if (!letter || isPassing(error)) throw error
        const cause = letter.cause === 'gap' ? 'gap' : 'failed'
        await failedAgain(kysely, letter.id, cause, textOf(error))
        return { handled, stoppedBy: textOf(error) }
      }
    }
  }

  /** One step along a subject: the event that was handled, `passed` for one that was not needed, or nothing. */
  async function step(
    trx: Transaction<DB>,
    letter: DeadLetter,
    last: number,
    demand: Demand | undefined,
  ): Promise<AnyEvent | 'passed' | undefined> {
    const version = letter.version ?? 0
    const demanded = demand?.id === letter.id ? demand : undefined
    const isNext = version === last + 1
    if (version <= last) {
      await deleteDeadLetter(trx, letter.id)
      return 'passed'
    }
    if (demanded?.action === 'discard') {
      const { subject, eventId } = letter
      await advancePlace(trx, letter.stream, { subject: subject ?? '', version, id: eventId ?? '' })
      await deleteDeadLetter(trx, letter.id)
      return 'passed'
    }
    const waits = letter.cause === 'behind' || letter.cause === 'gap'
    if (!demanded && !(waits && isNext)) return undefined
    if (!isNext && !demanded?.skipMissing) {
      throw new Error(`versions ${last + 1} to ${version - 1} have not come`)
    }
    const event = readable(letter)
    await effect(event, trx)
    await advancePlace(trx, letter.stream, event)
    await deleteDeadLetter(trx, letter.id)
    return event
  }

  /** An entry that had no readable envelope, and perhaps has one for this release. */
  async function redriveUnreadable(letter: DeadLetter): Promise<Redriven> {
    const { id, stream, streamId: entryId, entry: fields } = letter
    try {
      const event = readable(letter)
      const entry = { entryId, fields }
      const options = { database, stream, entry, event, effect, startAnywhere: false }
      const { outcome } = await settle(options)
      if (outcome === 'early') throw new Error('an earlier version of its subject has not come')
      await database.transaction((trx) => deleteDeadLetter(trx, id))
      if (outcome === 'handled') await afterCommit(event)
      return { handled: outcome === 'handled' ? 1 : 0 }
    } catch (error) {
      if (error instanceof SubjectBusy) throw busy(error)
      await failedAgain(kysely, id, 'invalid', textOf(error))
      return { handled: 0, stoppedBy: textOf(error) }
    }
  }

  async function found(id: number): Promise<DeadLetter> {
    const letter = await findDeadLetter(kysely, id)
    if (!letter) throw new AppError('NOT_FOUND', `There is no dead letter ${id}`)
    const { stream, subject } = letter
    if (subject === null) return letter
    const first = await database.transaction((trx) => firstDeadLetter(trx, stream, subject))
    if (first && first.id !== id) {
      const order = `Dead letter ${first.id} of the same subject comes first`
      throw new AppError('VERSION_CONFLICT', order)
    }
    return letter
  }

  return {
    list: ({ limit = 100, afterId = 0 } = {}) => listDeadLetters(kysely, { limit, afterId }),
    async redrive(id, { skipMissing = false } = {}) {
      const letter = await found(id)
      if (letter.subject === null) return redriveUnreadable(letter)
      return release(letter.stream, letter.subject, { id, action: 'handle', skipMissing })
    },
    async discard(id, reason) {
      const letter = await found(id)
      const { eventId, type, subject, version, cause } = letter
      log?.warn(
        { id, eventId, type, subject, version, cause, reason },
        'a dead letter is discarded',
      )
      if (subject === null) {
        await database.transaction((trx) => deleteDeadLetter(trx, id))
        return { handled: 0 }
      }
      return release(letter.stream, subject, { id, action: 'discard', skipMissing: true })
    },
    release,
  }
}

function busy(cause: SubjectBusy): AppError {
  return new AppError('VERSION_CONFLICT', `${cause.message}; try again`, { cause })
}

function readable(letter: DeadLetter): AnyEvent {
  const decoded = decodeEntry(letter.entry)
  if (!('event' in decoded)) throw new Error(decoded.invalid)
  const fault = payloadFault(decoded.event.type, decoded.event.payload)
  if (fault) throw new Error(fault)
  return decoded.event
}

function isPassing(error: unknown): boolean {
  return (
    error instanceof AppError &&
    (error.code === 'UNAVAILABLE' || error.code === 'DEADLINE_EXCEEDED')
  )
}
