/*
 * The way from the outbox to the stream.
 *
 * A change and its event are committed together (`appendEvents`); this relay then appends the event to the stream of
 * its service. It may append an event twice. It never leaves one out, and it never lets a later event of a subject
 * into a history of the stream ahead of an earlier one. Consumers need no more: they ignore a version they have, and
 * versions have no gaps, so they also see when one is missing.
 *
 * Four things could break that. Against each stands one rule.
 *
 * 1. Late commits. Ids are given out before commits, so a row may appear below others that were sent already. There
 *    is no cursor to have passed it: a row waits until it is marked, and each round reads all that wait, by id.
 *    Is that in order? A writer takes the subject's row lock before its ids and keeps it to the end of its
 *    transaction. So version n was committed, hence visible, before n + 1 got its id; whoever sees n + 1 sees n, with a
 *    lower id. The same holds for any transaction that began after another had ended, whatever the subjects.
 *    (The rule often given, to read only below `pg_snapshot_xmin`, is for readers with a cursor. Here it would do harm:
 *    the later of two writers of one subject may have the lower transaction id and would come out first, and one
 *    long transaction in any database of the server would hold up all events.)
 *
 * 2. Two relays. The active one holds an advisory lock in its database session, and reads and marks rows over that
 *    session only. A relay that lost it (killed, cut off, or frozen for ten seconds, upon which the server ends the
 *    session) can mark nothing. It may still append what it had read: all of that was waiting, every earlier
 *    version was in this history before or is in the same portion, so it repeats or comes in order.
 *
 * 3. A replica that was promoted without the last entries. A row is marked only when a replica has it (WAIT), which
 *    makes such losses rare, not impossible: another replica may be promoted. So the relay knows which history it
 *    appends to: the epoch, the master's replication id, which every promotion and restart changes. The append is a
 *    script that reads the epoch on the server and appends nothing when it is not the known one. Only after the
 *    database has, under the lock, noted the new epoch and unmarked the last minute of rows, does anything
 *    reach the new history; and rows leave by id, so the repeated ones go ahead of new ones. Lost: 3. Sent next: 3, 4.
 *    "The last minute" ends where the new history ends, if that is earlier than the last row sent: the replica may have
 *    lagged, or lost the stream. For the same reason a last id that has gone backwards counts as a new history
 *    within an epoch. A quiet service looks for a new history too, as often as it looks for rows.
 *
 * 4. Two masters. One that was left behind still says its old epoch. It is refused when that is not the known one; when
 *    it is, its entries count only if a replica takes them, and the last minute is repeated once the other is met.
 *
 * Invariants, for one subject, at any moment:
 *    I1  rows with versions 1 … n exist or existed; the waiting ones are visible in order of version.
 *    I2  in each history, the first appearance of version n + 1 comes after one of n, or n was acknowledged by every
 *        group and trimmed.
 *    I3  a marked row is in the known history, or lies within what the next change of history unmarks.
 * What should slip through all the same (a relay that wakes while a lost stream is being filled again) meets the
 * consumer's own rule: only the version after the last has its turn, see `settle.ts`.
 *
 * The outbox is the usual one (Transactional Outbox, polling publisher); the epoch is that of the cache's coherence.
 * Woken by NOTIFY instead of polled? A NOTIFY in the writers' transactions was measured: it made their commits wait for
 * one another, and left a quarter of their rate. Ten cheap queries a second on a partial index cost less.
 */
import { defineScript, type Log, type RedisConnection } from '@wattle/redis'
import type { Registry } from 'prom-client'
import { createAppender, noHistory, type History } from './append.ts'
import { encodeEntry } from './entry.ts'
import { relayMetrics } from './metrics.ts'
import { withOutboxSession, type OutboxSession, type WaitingEvent } from './outbox-session.ts'
import { createOutage } from './outage.ts'
import { backoffMs, createPause } from './pause.ts'
import { eventStreamKey } from './stream-key.ts'

export type RelayOptions = {
  /** The service's runtime role; a direct connection, not a pooler's in transaction mode: the lock is the session's. */
  databaseUrl: string
  /** The `state` group. */
  redis: RedisConnection
  environment: string
  /** The publishing service. */
  service: string
  /** Replicas that must have an event before it counts as sent. Default 1; 0 only where there are none. */
  replicas?: number
  /** Between two looks at a quiet outbox. Default 100. */
  pollMs?: number
  /** How much is sent again after a failover. Default 60,000. */
  repeatMs?: number
  /** How long sent rows stay in the outbox, and acknowledged entries in the stream. Default a day. */
  retentionMs?: number
  log?: Log
  registry?: Registry
  random?: () => number
}

export type Relay = {
  /** Looks at the outbox at once. Only a hint, for after a commit. */
  wake(): void
  /** Whether this copy is the one that relays. */
  readonly active: boolean
  /** Finishes the portion under way and leaves the lock to another copy. */
  stop(): Promise<void>
}

const trimScript = defineScript(new URL('./trim.lua', import.meta.url))
const waitMs = 1_000
const standByMs = 500
const tidyEveryMs = 10_000
const measureEveryMs = 2_000
const retry = { baseMs: 100, longestMs: 2_000 }
const portion = { events: 200, bytes: 512 * 1024 }

/**
 * Brings a service's events from its outbox to its stream, at least once and in order per subject. Any number of copies
 * may run; one is active, and another takes over when it ends or hangs. Takes one database connection. While Redis
 * or the database is away it tries again at growing intervals, up to two seconds; events wait in the outbox.
 */
export function startRelay(options: RelayOptions): Relay {
  const { databaseUrl, redis, service, log, random = Math.random } = options
  const { replicas = 1, pollMs = 100, repeatMs = 60_000, retentionMs = 86_400_000 } = options
  if (retentionMs <= repeatMs) throw new RangeError('retentionMs must be longer than repeatMs')
  const key = eventStreamKey(options)
  const append = createAppender({ redis, key, replicas, waitMs })
  const metrics = relayMetrics(options.registry)
  const outage = createOutage({ log, what: `the event relay of ${service}` })
  const stopping = new AbortController()
  const { pause, wake } = createPause(stopping.signal)
  const stopped = () => stopping.signal.aborted
  const tidyDue = every(Math.min(tidyEveryMs, retentionMs))
  const measureDue = every(measureEveryMs)
  let active = false
  let slowGroup = ''

  /** Waits for the lock, then relays until something fails or this copy stops. */
  async function relay(outbox: OutboxSession): Promise<void> {
    await measure(outbox)
    while (!(await outbox.tryLock())) {
      outage.worked()
      await pause(standByMs * (0.75 + 0.5 * random()))
      if (stopped()) return
      await measure(outbox)
    }
    active = true
    let known = await outbox.history()
    while (!stopped()) {
      const events = withinBytes(await outbox.waiting(portion.events))
      known = await send(outbox, known, events)
      await measure(outbox)
      if (tidyDue()) await tidy(outbox)
      if (events.length === 0) await pause(pollMs)
    }
  }

  /** Appends the events and marks them, or takes up another history; returns the history known now. */
  async function send(outbox: OutboxSession, known: History, events: readonly WaitingEvent[]) {
    const reply = await append(known, events.map(encodeEntry))
    if ('changed' in reply) return adopt(outbox, known, reply.changed)
    const { streamIds } = reply
    const reached = { ...known, lastStreamId: streamIds.at(-1) ?? known.lastStreamId }
    for (let having = reply.replicas; having < replicas && events.length > 0;) {
      outage.failed(new Error(`${having} of ${replicas} replicas have the last events`))
      await pause(retry.baseMs)
      if (stopped()) return known
      await measure(outbox)
      // Appending again would repeat them each time; to look and to wait again is enough.
      const again = await append(reached, [])
      if ('changed' in again) return adopt(outbox, known, again.changed)
      having = again.replicas
    }
    if (events.length > 0) {
      await outbox.markSent(
        events.map((event) => event.rowId),
        streamIds,
      )
      metrics.sent.inc({ service }, events.length)
    }
    outage.worked()
    return reached
  }

  async function adopt(outbox: OutboxSession, known: History, history: History) {
    const repeated = await outbox.changeHistory(history, repeatMs)
    if (known.epoch === noHistory.epoch) return history
    metrics.histories.inc({ service })
    log?.info(
      { ...history, repeated },
      `the event relay of ${service} met another history of Redis`,
    )
    return history
  }

  async function measure(outbox: OutboxSession): Promise<void> {
    if (!measureDue()) return
    const { waiting, oldestSeconds } = await outbox.backlog()
    metrics.pending.set({ service }, waiting)
    metrics.oldest.set({ service }, oldestSeconds)
  }

  async function tidy(outbox: OutboxSession): Promise<void> {
    await outbox.purge(retentionMs)
    const reply = await redis.run(trimScript, { keys: [key], args: [retentionMs] })
    const [, keptFrom, group] = reply as [number, string, string]
    if (group !== '' && group !== slowGroup) {
      log?.warn({ stream: key, group, keptFrom }, `${group} has not acknowledged events for long`)
    }
    slowGroup = group
  }

  async function run(): Promise<void> {
    while (!stopped()) {
      try {
        await withOutboxSession(databaseUrl, `${service}:event-relay`, relay)
      } catch (error) {
        await pause(backoffMs(outage.failed(error), retry, random))
      } finally {
        active = false
      }
    }
  }

  const running = run()
  return {
    wake,
    get active() {
      return active
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

/** As many from the front as make a script that does not hold up Redis; at least one. */
function withinBytes(events: readonly WaitingEvent[]): readonly WaitingEvent[] {
  let bytes = 0
  const end = events.findIndex(({ payloadJson }, index) => {
    bytes += payloadJson.length
    return index > 0 && bytes > portion.bytes
  })
  return end < 0 ? events : events.slice(0, end)
}

/** True at the first call, and then when so long has passed since it was true. */
function every(ms: number): () => boolean {
  let last = -Infinity
  return () => {
    const now = performance.now()
    if (now - last < ms) return false
    last = now
    return true
  }
}
