import { AppError } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { Log } from '@wattle/redis'
import type { createDeadLetters } from './dead-letters.ts'
import { decodeEntry, payloadFault, type AnyEvent, type Decoded } from './entry.ts'
import type { Delivery, Group } from './group.ts'
import { SubjectBusy, type DeadLetterCause } from './inbox-store.ts'
import type { LaneItem, Verdict } from './lanes.ts'
import type { ConsumerMetrics } from './metrics.ts'
import { textOf, type createOutage } from './outage.ts'
import { backoffMs } from './pause.ts'
import type { RepetitionFilter } from './repetitions.ts'
import { bury, envelopeOf, settle, type Effect } from './settle.ts'

/** One delivery in this process, until it is acknowledged or left to others. */
export type Item = Omit<LaneItem, 'run'> &
  Delivery & {
    decoded: Decoded
    /** Known to be one; see `repetitions.ts`. */
    isRepetition: boolean
    /** Failed attempts in this process. */
    attempts: number
    /** Waits that are not its fault: for its turn, or for the database. */
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
  const order = known?.version ?? 0
  return { ...delivery, decoded, lane, order, isRepetition: false, attempts: 0, waits: 0 }
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
  repetitions: RepetitionFilter
  startAnywhere: boolean
  retry: RetryOptions
  outage: ReturnType<typeof createOutage>
  metrics: ConsumerMetrics
  log: Log | undefined
  random: () => number
}): (item: Item) => Promise<Verdict> {
  const { stream, group, database, deadLetters, repetitions, hasHandler, retry } = deps
  const { outage, metrics, log, random } = deps
  const labels = { stream, group: deps.groupName }

  return async function deliver(item) {
    try {
      const verdict = await attempt(item)
      if (verdict !== 'done') return verdict
      outage.worked()
    } catch (error) {
      const verdict = await failed(item, error)
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
    if (item.isRepetition) return repeated(item, event)
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
    if (place.parkedFrom !== null && outcome !== 'behind') {
      await deadLetters.release(stream, event.subject)
    }
    if (outcome === 'repeated') {
      repetitions.expectMore()
      return repeated(item, event)
    }
    count(item, outcome === 'handled' && !hasHandler(event.type) ? 'unknown_type' : outcome)
    if (outcome === 'behind') return 'done'
    observeDelay(event)
    await deps.afterCommit(event)
    return 'done'
  }

  async function repeated(item: Item, event: AnyEvent): Promise<Verdict> {
    // The process that brought about the effect may have ended before it came to this.
    await deps.afterCommit(event)
    count(item, 'repeated')
    return 'done'
  }

  async function failed(item: Item, error: unknown): Promise<Verdict> {
    if (error instanceof SubjectBusy) return wait(item)
    if (await databaseIsAway(error)) return awaitDatabase(item, error)
    item.attempts += 1
    if (item.attempts < retry.maxAttempts) {
      const againInMs = backoffMs(item.attempts, retry, random)
      const message = `an event of ${stream} could not be handled`
      log?.warn({ err: error, ...about(item), againInMs }, message)
      count(item, 'retried')
      return { againInMs }
    }
    try {
      return await dead(item, error instanceof Gap ? 'gap' : 'failed', textOf(error))
    } catch (cause) {
      return cause instanceof SubjectBusy ? wait(item) : awaitDatabase(item, cause)
    }
  }

  async function dead(item: Item, cause: DeadLetterCause, error: string): Promise<'done'> {
    const { decoded, attempts } = item
    const isBuried = await bury({ database, stream, entry: item, decoded, cause, error, attempts })
    const what = isBuried ? 'goes to the dead letters' : 'is given up, but its effect is there'
    log?.error({ ...about(item), cause, error }, `an event of ${stream} ${what}`)
    count(item, 'dead')
    return 'done'
  }

  function about(item: Item) {
    const { id: eventId, type, subject, version } = envelopeOf(item.decoded) ?? {}
    const { entryId, attempts } = item
    return { ...labels, entryId, eventId, type, subject, version, attempts }
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
