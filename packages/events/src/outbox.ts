import { newId, type EventPayload, type EventType, type WattleEvent } from '@wattle/contracts'
import { sql, type Transaction } from 'kysely'
import { newEventFault } from './entry.ts'

/** What happened, as the code that made it happen tells it. */
export type NewEvent<T extends EventType = EventType> = {
  [K in T]: {
    type: K
    /** What it is about: `pay_…`. Its events form one sequence. */
    subject: string
    payload: EventPayload<K>
    correlationId: string
    causationId: string
  }
}[T]

/** The largest payload, in bytes of JSON. An event says what happened; a document is fetched by its id. */
const longestPayload = 64 * 1024

/**
 * Stores events in the transaction of the change they tell of: both are there, or neither. Each event gets the next
 * version of its subject. From here to the end of the transaction other writers of the same subject wait, so that
 * versions are committed in their order; call it late. Transactions that append to several subjects may deadlock,
 * which `database.transaction` retries; subjects of one call are locked in one order and do not.
 *
 * Returns the events as they will be delivered.
 *
 * @throws TypeError for an event that does not fit its contract, RangeError for a payload over 64 KiB of JSON. Both
 * are faults of the caller, and name no value.
 */
export async function appendEvents<DB>(
  trx: Transaction<DB>,
  events: readonly NewEvent[],
): Promise<WattleEvent[]> {
  if (events.length === 0) return []
  const rows = events.map((event) => ({ ...event, id: newId('evt') }))
  for (const row of rows) {
    const fault = newEventFault(row)
    if (fault) throw new TypeError(`An event cannot be stored: ${fault}.`)
    const bytes = Buffer.byteLength(JSON.stringify(row.payload))
    if (bytes > longestPayload) {
      throw new RangeError(`The payload of ${row.type} has ${bytes} bytes, over ${longestPayload}.`)
    }
  }
  const input = JSON.stringify(rows.map((row, index) => ({ ...row, position: index })))
  const { rows: stored } = await sql<{ event_id: string; version: number; occurred_at: Date }>`
    with input as (
      select * from jsonb_to_recordset(${input}::jsonb) as event(
        position integer, id text, type text, subject text, payload jsonb,
        "correlationId" text, "causationId" text)
    ),
    counted as (select subject, count(*)::integer as events from input group by subject),
    advanced as (
      insert into outbox_subjects as subjects (subject, version)
      select subject, events from counted order by subject
      on conflict (subject) do update set version = subjects.version + excluded.version
      returning subject, version
    )
    insert into outbox
      (event_id, type, subject, version, payload, correlation_id, causation_id)
    select
      id, type, subject,
      version - events + row_number() over (partition by subject order by position),
      payload, "correlationId", "causationId"
    from input join counted using (subject) join advanced using (subject)
    order by position
    returning event_id, version, occurred_at`.execute(trx)

  const byId = new Map(stored.map((row) => [row.event_id, row]))
  return rows.map((row) => {
    const { version, occurred_at: occurredAt } = byId.get(row.id) ?? missing(row.id)
    return { ...row, version, occurredAt: occurredAt.toISOString() }
  })
}

/** The ids that tie a new event to the one that led to it. */
export function causedBy(event: { id: string; correlationId: string }): {
  correlationId: string
  causationId: string
} {
  return { correlationId: event.correlationId, causationId: event.id }
}

function missing(id: string): never {
  throw new Error(`event ${id} was not stored`)
}
