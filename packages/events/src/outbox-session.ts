import { openDatabase } from '@wattle/database'
import { sql, type Kysely } from 'kysely'
import { noHistory, type History } from './append.ts'

/** An outbox row on its way. */
export type WaitingEvent = {
  rowId: number
  id: string
  type: string
  subject: string
  version: number
  occurredAt: string
  correlationId: string
  causationId: string
  payloadJson: string
}

/** Locks of this kind are per database; the number is arbitrary and only has to stay the same. */
const advisoryLock = '4903126801122563'

/** A session that has done nothing for so long is ended by the server, and its lock with it. */
const frozenAfterMs = 10_000

/** How many rows one statement marks for sending again. */
const chunk = 20_000

/**
 * Opens one connection, hands it to `work`, and ends it. The relay's lock belongs to this connection, and everything
 * the relay writes goes over it: whoever has lost the lock can write nothing more.
 */
export async function withOutboxSession(
  databaseUrl: string,
  name: string,
  work: (outbox: OutboxSession) => Promise<void>,
): Promise<void> {
  const database = openDatabase<unknown>({
    url: databaseUrl,
    name,
    poolSize: 1,
    statementTimeoutMs: 10_000,
  })
  try {
    await database.kysely.connection().execute(async (connection) => {
      await sql`select set_config('idle_session_timeout', ${`${frozenAfterMs}`}, false)`.execute(
        connection,
      )
      await work(outboxSession(connection))
    })
  } finally {
    await database.close()
  }
}

export type OutboxSession = ReturnType<typeof outboxSession>

function outboxSession(connection: Kysely<unknown>) {
  return {
    /** Makes this the one active relay of the database, for as long as the connection lives. */
    async tryLock(): Promise<boolean> {
      const { rows } = await sql<{ locked: boolean }>`
        select pg_try_advisory_lock(${sql.lit(advisoryLock)}::bigint) as locked`.execute(connection)
      return rows[0]?.locked === true
    },

    /** The history appended to last. */
    async history(): Promise<History> {
      const { rows } = await sql<History>`
        select epoch, last_stream_id as "lastStreamId" from outbox_relay`.execute(connection)
      return rows[0] ?? noHistory
    },

    /**
     * Takes up another history: what was sent within `windowMs` before the last of it that `history` has, or before
     * the last that was sent at all, waits again. Returns how many rows that are.
     */
    async changeHistory({ epoch, lastStreamId }: History, windowMs: number): Promise<number> {
      const { rows } = await sql<{ since: string | null }>`
        select (least(max(sent_at), to_timestamp(${millisOf(lastStreamId)} / 1000.0))
          - ${windowMs} * interval '1 millisecond')::text as since
        from outbox where sent_at is not null`.execute(connection)
      const since = rows[0]?.since
      let marked = 0
      // Oldest first and the epoch last: whoever continues after an end in between finds the same window.
      for (let count = since ? chunk : 0; count === chunk; marked += count) {
        const { numAffectedRows = 0n } = await sql`
          update outbox set sent_at = null, stream_id = null where id in (
            select id from outbox where sent_at >= ${since}::timestamptz
            order by sent_at limit ${chunk})`.execute(connection)
        count = Number(numAffectedRows)
      }
      await sql`
        insert into outbox_relay (epoch, last_stream_id) values (${epoch}, ${lastStreamId})
        on conflict (only_row) do update
        set epoch = excluded.epoch, last_stream_id = excluded.last_stream_id, since = now()
      `.execute(connection)
      return marked
    },

    /** What waits, in the order of commits as far as these depend on one another; see `relay.ts`. */
    async waiting(limit: number): Promise<WaitingEvent[]> {
      const { rows } = await sql<Omit<WaitingEvent, 'occurredAt'> & { occurredAt: Date }>`
        select id as "rowId", event_id as id, type, subject, version, occurred_at as "occurredAt",
          correlation_id as "correlationId", causation_id as "causationId",
          payload::text as "payloadJson"
        from outbox where sent_at is null order by outbox.id limit ${limit}`.execute(connection)
      return rows.map((row) => ({ ...row, occurredAt: row.occurredAt.toISOString() }))
    },

    async markSent(rowIds: readonly number[], streamIds: readonly string[]): Promise<void> {
      await sql`
        with sent as (
          select * from unnest(${rowIds}::bigint[], ${streamIds}::text[]) as row (id, stream_id)
        ),
        reached as (update outbox_relay set last_stream_id = ${streamIds.at(-1)})
        update outbox set
          stream_id = sent.stream_id,
          sent_at = to_timestamp(split_part(sent.stream_id, '-', 1)::bigint / 1000.0)
        from sent where outbox.id = sent.id`.execute(connection)
    },

    async backlog(): Promise<{ waiting: number; oldestSeconds: number }> {
      const { rows } = await sql<{ waiting: number; oldestSeconds: number }>`
        select count(*) as waiting, coalesce(extract(epoch from clock_timestamp() - min(occurred_at)), 0)::float8
          as "oldestSeconds"
        from outbox where sent_at is null`.execute(connection)
      return rows[0] ?? { waiting: 0, oldestSeconds: 0 }
    },

    /** Deletes a portion of what was sent longer ago than that. */
    async purge(retentionMs: number): Promise<number> {
      const { numAffectedRows = 0n } = await sql`
        delete from outbox where id in (
          select id from outbox where sent_at < now() - ${retentionMs} * interval '1 millisecond'
          order by sent_at limit 5000)`.execute(connection)
      return Number(numAffectedRows)
    },
  }
}

const millisOf = (streamId: string) => Number(streamId.split('-', 1)[0])
