import type { Queries } from '@wattle/database'
import type { Transaction } from 'kysely'
import type { AnyEvent, Decoded } from './entry.ts'
import {
  advancePlace,
  insertDeadLetter,
  lockPlace,
  parkFrom,
  type DeadLetterCause,
  type Place,
} from './inbox-store.ts'

/** Runs the handler of an event's type, or nothing where there is none. */
export type Effect<DB> = (event: AnyEvent, trx: Transaction<DB>) => Promise<void>

/**
 * `handled`: the effect is there, by this call. `repeated`: it was there before. `behind`: the event was put among the
 * dead letters, behind an earlier one of its subject. `early`: nothing was done, an earlier version is still missing.
 */
export type Settlement = { outcome: 'handled' | 'repeated' | 'behind' | 'early'; place: Place }

/**
 * What is to be done with a version when the subject is at `place`. Versions have no gaps, so the one after the last
 * is the only one whose turn it is: that makes an effect happen once, and in order, whoever delivers what to whom.
 */
export function turnOf(
  version: number,
  { version: last, parkedFrom }: Place,
): Settlement['outcome'] {
  if (version <= last) return 'repeated'
  if (parkedFrom !== null && version >= parkedFrom) return 'behind'
  return version === last + 1 ? 'handled' : 'early'
}

/**
 * Brings about the effect of an event once: the handler and the note in the inbox are one transaction, which keeps
 * others away from the subject. Rejects with SubjectBusy, or with what the handler or the database threw; then nothing
 * was done, unless the answer to a commit was lost, and then the repetition will find it done.
 *
 * `startAnywhere`: of a subject never seen, accept any version.
 */
export function settle<DB>({
  database,
  stream,
  entry,
  event,
  effect,
  startAnywhere,
}: {
  database: Queries<DB>
  stream: string
  entry: { entryId: string; fields: Record<string, string> }
  event: AnyEvent
  effect: Effect<DB>
  startAnywhere: boolean
}): Promise<Settlement> {
  return database.transaction(async (trx) => {
    const place = await lockPlace(trx, stream, event.subject)
    let outcome = turnOf(event.version, place)
    if (outcome === 'early' && startAnywhere && place.version === 0) outcome = 'handled'
    if (outcome === 'handled') {
      await effect(event, trx)
      await advancePlace(trx, stream, event)
    }
    if (outcome === 'behind') {
      const error = `version ${place.parkedFrom} of its subject is among the dead letters`
      await insertDeadLetter(trx, letterOf(stream, entry, { event }, 'behind', error, 0))
    }
    return { outcome, place }
  })
}

/**
 * Puts an entry among the dead letters, where the later events of its subject will wait behind it. Resolves to false,
 * and leaves it, when its effect is there.
 */
export async function bury<DB>({
  database,
  stream,
  entry,
  decoded,
  cause,
  error,
  attempts,
}: {
  database: Queries<DB>
  stream: string
  entry: { entryId: string; fields: Record<string, string> }
  decoded: Decoded
  cause: DeadLetterCause
  error: string
  attempts: number
}): Promise<boolean> {
  const known = envelopeOf(decoded)
  const letter = letterOf(stream, entry, decoded, cause, error, attempts)
  return database.transaction(async (trx) => {
    if (known) {
      const { version, parkedFrom } = await lockPlace(trx, stream, known.subject)
      if (known.version <= version) return false
      if (parkedFrom === null || known.version < parkedFrom) {
        await parkFrom(trx, stream, known.subject, known.version)
      }
    }
    await insertDeadLetter(trx, letter)
    return true
  })
}

export function envelopeOf(decoded: Decoded): Omit<AnyEvent, 'payload'> | undefined {
  return 'event' in decoded ? decoded.event : decoded.known
}

function letterOf(
  stream: string,
  { entryId, fields }: { entryId: string; fields: Record<string, string> },
  decoded: Decoded,
  cause: DeadLetterCause,
  error: string,
  attempts: number,
) {
  const known = envelopeOf(decoded)
  return {
    stream,
    streamId: entryId,
    entry: fields,
    cause,
    error,
    attempts,
    eventId: known?.id ?? null,
    type: known?.type ?? null,
    subject: known?.subject ?? null,
    version: known?.version ?? null,
  }
}
