import { AppError } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { Log } from '@wattle/redis'
import type { createDeadLetters } from './dead-letters.ts'
import { decodeEntry, payloadFault, type AnyEvent, type Decoded } from './entry.ts'
import type { Delivery, Group } from './group.ts'
import type { DeadLetterCause } from './inbox-store.ts'
import type { LaneItem, Verdict } from './lanes.ts'
import type { ConsumerMetrics } from './metrics.ts'
import { textOf, type createOutage } from './outage.ts'
import { backoffMs } from './pause.ts'
import { bury, envelopeOf, settle, type Effect } from './settle.ts'

/** One delivery in this process, until it is acknowledged or left to others. */
export type Item = Omit<LaneItem, 'run'> &
  Delivery & {
    decoded: Decoded
    /** Failed attempts in this process. */
    attempts: number
    /** Waits that are nobody's fault: for an earlier version, or for the database. */
    waits: number
  }

export type RetryOptions = {
  /** After so many failed attempts an event goes to the dead letters. */
  maxAttempts: number
  /** An event delivered more often, and never brought to an end, has ended the processes that had it. */
  maxDeliveries: number
  baseMs: number
  longestMs: number
}

const patience = { baseMs: 20, longestMs: 1_000 }

/** Gives an item its lane: one for each subject, and one of its own for an entry without a readable one. */
export function itemOf(
  stream: string,
  delivery: Delivery,
  hasHandler: (type: string) => boolean,
): Item {
  let decoded = decodeEntry(delivery.fields)
  if ('event' in decoded && hasHandler(decoded.event.type)) {
    const { payload, ...known } = decoded.event
    const fault = payloadFault(known.type, payload)
    if (fault) decoded = { invalid: fault, known }
  }
  const known = envelopeOf(decoded)
  const lane = known ? `${stream} of ${known.subject}` : `${stream} at ${delivery.entryId}`
  return { ...delivery, decoded, lane, order: known?.version ?? 0, attempts: 0, waits: 0 }
}

/** Brings one item of a stream to its end, step by step: each call is one attempt. Never rejects. */
export function createDelivery<DB>(deps: {
  stream: string
  groupName: string
  group: Group
  database: Database<DB>
  effect: Effect<DB>
  afterCommit: (event: AnyEvent) => Promise<void>
  hasHandler: (type: string) => boolean
  deadLetters: ReturnType<typeof createDeadLetters<DB>>
  startAnywhere: boolean
  retry: RetryOptions
  outage: ReturnType<typeof createOutage>
  metrics: ConsumerMetrics
  log: Log | undefined
  random: () => number
}): (item: Item) => Promise<Verdict> {
  const { stream, group, database, deadLetters, hasHandler, retry, outage, metrics, log, random } =
    deps
  const labels = { stream, group: deps.groupName }

  return async function deliver(item) {
    try {
      const verdict = await attempt(item)
      if (verdict !== 'done') return verdict
      outage.worked()
    } catch (error) {
      const verdict = (await databaseIsAway(error))
        ? awaitDatabase(item, error)
        : await failed(item, error)
      if (verdict !== 'done') return verdict
    }
    // Where this fails the entry is delivered again, found to be a repetition, and acknowledged then.
    await group.acknowledge(item.entryId, envelopeOf(item.decoded)?.id).catch(() => {})
    return 'done'
  }

  async function attempt(item: Item): Promise<Verdict> {
    const { decoded, deliveries } = item
    if (!('event' in decoded)) return dead(item, 'invalid', decoded.invalid)
    if (deliveries > retry.maxDeliveries) {
      return dead(item, 'crashed', `delivered ${deliveries} times, and never brought to an end`)
    }
    const { event } = decoded
    const options = { ...deps, entry: item, event }
    let settled = await settle({ ...options, startAnywhere: false })
    if (settled.outcome === 'early') {
      const isOnItsWay = await group.hasEarlier(item.entryId, event.subject).catch(() => true)
      if (isOnItsWay) return wait(item)
      // What was missing may have been handled and acknowledged since, so look once more in any case.
      settled = await settle(options)
    }
    const { outcome, place } = settled
    if (outcome === 'early') throw new Gap(place.version, event.version)
    count(item, outcome === 'handled' && !hasHandler(event.type) ? 'unknown_type' : outcome)
    if (outcome === 'behind') return 'done'
    if (outcome === 'handled') observeDelay(event)
    // These two also for a repetition: the process that brought about the effect may have ended before them.
    if (place.parkedFrom !== null) await deadLetters.release(stream, event.subject)
    await deps.afterCommit(event)
    return 'done'
  }

  async function failed(item: Item, error: unknown): Promise<Verdict> {
    item.attempts += 1
    const { entryId, attempts } = item
    const { id, type, subject, version } = envelopeOf(item.decoded) ?? {}
    const about = { err: error, ...labels, entryId, eventId: id, type, subject, version, attempts }
    if (attempts < retry.maxAttempts) {
      const againInMs = backoffMs(attempts, retry, random)
      log?.warn({ ...about, againInMs }, `an event of ${stream} could not be handled`)
      count(item, 'retried')
      return { againInMs }
    }
    log?.error(about, `an event of ${stream} is given up`)
    try {
      return await dead(item, error instanceof Gap ? 'gap' : 'failed', textOf(error))
    } catch (cause) {
      return awaitDatabase(item, cause)
    }
  }

  async function dead(item: Item, cause: DeadLetterCause, error: string): Promise<'done'> {
    const { decoded, attempts } = item
    await bury({ database, stream, entry: item, decoded, cause, error, attempts })
    count(item, 'dead')
    return 'done'
  }

  function awaitDatabase(item: Item, error: unknown): Verdict {
    outage.failed(error)
    return wait(item)
  }

  function wait(item: Item): Verdict {
    item.waits += 1
    return { againInMs: backoffMs(item.waits, patience, random) }
  }

  function observeDelay(event: AnyEvent): void {
    const seconds = (Date.now() - Date.parse(event.occurredAt)) / 1000
    metrics.delay.observe(labels, Math.max(0, seconds))
  }

  function count(item: Item, outcome: string): void {
    const type = envelopeOf(item.decoded)?.type
    metrics.outcomes.inc({ ...labels, outcome, type: type && hasHandler(type) ? type : 'other' })
  }

  /** Then it is not the event's fault, and no attempt of it. */
  async function databaseIsAway(error: unknown): Promise<boolean> {
    if (!(error instanceof AppError)) return false
    if (error.code !== 'UNAVAILABLE' && error.code !== 'DEADLINE_EXCEEDED') return false
    return database.health(1_000).then(
      () => false,
      () => true,
    )
  }
}

/** An earlier version is missing, and nobody in the group has it. */
class Gap extends Error {
  constructor(last: number, version: number) {
    super(`version ${last + 1} of its subject is missing before version ${version}`)
  }
}
