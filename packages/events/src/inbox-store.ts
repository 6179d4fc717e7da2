import { sql, type Kysely, type Transaction } from 'kysely'

/** How far a subject has come. */
export type Place = {
  /** Its last version whose effect is there; 0 before the first. */
  version: number
  /** From this version on its events wait among the dead letters. */
  parkedFrom: number | null
}

/** Why an event lies among the dead letters; see `migrations/inbox.sql`. */
export type DeadLetterCause = 'failed' | 'crashed' | 'invalid' | 'gap' | 'behind'

export type DeadLetter = {
  id: number
  /** The publishing service. */
  stream: string
  streamId: string
  /** These four are null for an entry whose envelope cannot be read. */
  eventId: string | null
  type: string | null
  subject: string | null
  version: number | null
  /** The entry as it came. */
  entry: Record<string, string>
  cause: DeadLetterCause
  /** What went wrong, for people. */
  error: string
  attempts: number
  diedAt: Date
}

const columns = sql`id, stream, stream_id as "streamId", event_id as "eventId", type, subject, version, entry, cause,
  error, attempts, died_at as "diedAt"`

/** Somebody else is at an event of the same subject. */
export class SubjectBusy extends Error {
  constructor(subject: string) {
    super(`an event of ${subject} is being handled elsewhere`)
  }
}

/**
 * Reads a subject's place and keeps others out of it until the end of the transaction. Does not wait, for a wait would
 * take up a connection; throws SubjectBusy instead.
 */
export async function lockPlace<DB>(
  trx: Transaction<DB>,
  stream: string,
  subject: string,
): Promise<Place> {
  const { rows } = await sql<Place>`
    insert into inbox (stream, subject, version)
    select ${stream}, ${subject}, 0
    where pg_try_advisory_xact_lock(hashtextextended(${`${stream} ${subject}`}, 0))
    on conflict (stream, subject) do update set version = inbox.version
    returning version, parked_from as "parkedFrom"`.execute(trx)
  const [place] = rows
  if (!place) throw new SubjectBusy(subject)
  return place
}

/** The last versions of those subjects that have an effect already. They only grow. */
export async function readPlaces<DB>(
  db: Kysely<DB>,
  stream: string,
  subjects: readonly string[],
): Promise<Map<string, number>> {
  const { rows } = await sql<{ subject: string; version: number }>`
    select subject, version from inbox
    where stream = ${stream} and subject = any(${subjects}::text[])`.execute(db)
  return new Map(rows.map(({ subject, version }) => [subject, version]))
}

/** The subject's place moves on to this event. */
export async function advancePlace<DB>(
  trx: Transaction<DB>,
  stream: string,
  event: { subject: string; version: number; id: string },
): Promise<void> {
  await sql`
    update inbox set version = ${event.version}, event_id = ${event.id}, handled_at = now()
    where stream = ${stream} and subject = ${event.subject}`.execute(trx)
}

export async function parkFrom<DB>(
  trx: Transaction<DB>,
  stream: string,
  subject: string,
  version: number | null,
): Promise<void> {
  await sql`
    update inbox set parked_from = ${version}::integer
    where stream = ${stream} and subject = ${subject}`.execute(trx)
}

/** Does nothing where it lies there already. */
export async function insertDeadLetter<DB>(
  trx: Transaction<DB>,
  letter: Omit<DeadLetter, 'id' | 'diedAt'>,
): Promise<void> {
  await sql`
    insert into dead_letters
      (stream, stream_id, event_id, type, subject, version, entry, cause, error, attempts)
    values (${letter.stream}, ${letter.streamId}, ${letter.eventId}, ${letter.type}, ${letter.subject},
      ${letter.version}, ${JSON.stringify(letter.entry)}::json, ${letter.cause}, ${letter.error.replaceAll('\0', ' ')}, ${letter.attempts})
    on conflict do nothing`.execute(trx)
}

export async function failedAgain<DB>(
  db: Kysely<DB>,
  id: number,
  cause: DeadLetterCause,
  error: string,
): Promise<void> {
  await sql`
    update dead_letters set cause = ${cause}, error = ${error}, attempts = attempts + 1, died_at = now()
    where id = ${id}`.execute(db)
}

export async function deleteDeadLetter<DB>(trx: Transaction<DB>, id: number): Promise<void> {
  await sql`delete from dead_letters where id = ${id}`.execute(trx)
}

/** The dead letter of the subject with the lowest version. */
export async function firstDeadLetter<DB>(
  trx: Transaction<DB>,
  stream: string,
  subject: string,
): Promise<DeadLetter | undefined> {
  const { rows } = await sql<DeadLetter>`
    select ${columns} from dead_letters where stream = ${stream} and subject = ${subject}
    order by version limit 1`.execute(trx)
  return rows[0]
}

export async function findDeadLetter<DB>(
  db: Kysely<DB>,
  id: number,
): Promise<DeadLetter | undefined> {
  const { rows } = await sql<DeadLetter>`
    select ${columns} from dead_letters where id = ${id}`.execute(db)
  return rows[0]
}

export async function listDeadLetters<DB>(
  db: Kysely<DB>,
  { limit, afterId }: { limit: number; afterId: number },
): Promise<DeadLetter[]> {
  const { rows } = await sql<DeadLetter>`
    select ${columns} from dead_letters where id > ${afterId} order by id limit ${limit}`.execute(
    db,
  )
  return rows
}

export async function countDeadLetters<DB>(db: Kysely<DB>, stream: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from dead_letters where stream = ${stream}`.execute(db)
  return rows[0]?.count ?? 0
}
