import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { EventType, WattleEvent } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { Log, RedisConnection } from '@wattle/redis'
import type { Transaction } from 'kysely'
import type { Registry } from 'prom-client'
import { createDeadLetters, type DeadLetters } from './dead-letters.ts'
import { createDelivery, type RetryOptions } from './delivery.ts'
import type { AnyEvent } from './entry.ts'
import { openGroup } from './group.ts'
import { createLanes } from './lanes.ts'
import { consumerMetrics } from './metrics.ts'
import { createOutage } from './outage.ts'
import { createRepetitionFilter } from './repetitions.ts'
import type { Effect } from './settle.ts'
import { eventStreamKey } from './stream-key.ts'
import { startStreamReader } from './stream-reader.ts'

/** Brings about the effect of an event, through `trx` alone: then it is there exactly once. */
export type EventHandler<DB, T extends EventType> = (
  event: WattleEvent<T>,
  trx: Transaction<DB>,
) => Promise<void>

type AfterCommit<T extends EventType> = (event: WattleEvent<T>) => Promise<unknown>

export type ConsumeOptions<DB> = {
  /** The `state` group. */
  redis: RedisConnection
  /** With the tables of `migrations/inbox.sql`. */
  database: Database<DB>
  environment: string
  /** The consuming service. Its copies share the events between them. */
  group: string
  /** The publishing services. */
  streams: readonly string[]
  /** Events of other types are passed over. */
  handlers: { [T in EventType]?: EventHandler<DB, T> }
  /**
   * Called after the effect's commit, at least once, and again for repetitions: for what may be done twice, such as an
   * invalidation. The event is acknowledged only when it has resolved.
   */
  afterCommit?: { [T in EventType]?: AfterCommit<T> }
  /**
   * `complete`: this group has seen every event from the first; one that comes before its predecessor is held back.
   * `partial`: it came later, so a subject may begin anywhere. Default `complete`.
   */
  history?: 'complete' | 'partial'
  /** Handlers at once. Default half the connections of the database's pool, 16 at most. */
  concurrency?: number
  /** Events in this process that are handled or could be. Default 256; those that wait may be ten times as many. */
  maxInHand?: number
  /** Default 12 attempts, 100 ms to a minute apart; 20 deliveries. */
  retry?: Partial<RetryOptions>
  /** A handler that takes longer has failed. Default 10,000. */
  handlerTimeoutMs?: number
  /** A copy that has been silent for so long is taken for dead, and its events go to others. Default 15,000. */
  claimAfterMs?: number
  /** How long one read waits for events; a stop takes as long at most, plus running handlers. Default 1,000. */
  blockMs?: number
  log?: Log
  registry?: Registry
  random?: () => number
}

const defaultRetry = { maxAttempts: 12, maxDeliveries: 20, baseMs: 100, longestMs: 60_000 }

export type Consumer = {
  readonly deadLetters: DeadLetters
  /** Takes no new events, lets running handlers end, and leaves the rest to other copies. */
  stop(): Promise<void>
}

/**
 * Handles the events of other services. For each event the handler's effect is committed exactly once, together with a
 * note in the inbox; for each subject in the order of versions. An event that fails is tried again at growing
 * intervals, while other subjects go on and later events of its own wait; after the last attempt it lies among
 * the dead letters, with its cause, and the later ones behind it. While Redis or the database is away everything
 * waits; no attempt is counted.
 */
export function consume<DB>(options: ConsumeOptions<DB>): Consumer {
  const { redis, database, environment, group, handlers, log, random = Math.random } = options
  const { maxInHand = 256, handlerTimeoutMs = 10_000 } = options
  const connections = Math.ceil(database.stats().limit / 2)
  const { concurrency = Math.min(16, connections) } = options
  const { claimAfterMs = 15_000, blockMs = 1_000, history = 'complete' } = options
  const retry = { ...defaultRetry, ...options.retry }
  const consumer = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`
  const metrics = consumerMetrics(options.registry)
  const hasHandler = (type: string) => Object.hasOwn(handlers, type)

  // The payload of an event that comes to these was checked against the contract of its type.
  const effect: Effect<DB> = async (event, trx) => {
    const handle = own(handlers, event.type) as EventHandler<DB, EventType> | undefined
    if (handle) await within(handlerTimeoutMs, handle(event as WattleEvent, trx))
  }
  const afterCommit = async (event: AnyEvent) => {
    const hook = own(options.afterCommit ?? {}, event.type) as AfterCommit<EventType> | undefined
    if (hook) await within(handlerTimeoutMs, hook(event as WattleEvent))
  }
  const deadLetters = createDeadLetters({ database, effect, afterCommit, log })
  const stopping = new AbortController()
  const lanes = createLanes({ concurrency, limit: maxInHand })
  const readers = options.streams.map((stream) => {
    const key = eventStreamKey({ environment, service: stream })
    const name = `the consumer of ${stream} in ${group}`
    const opened = openGroup({ redis, key, group, consumer, blockMs })
    const shared = {
      stream,
      groupName: group,
      group: opened,
      database,
      repetitions: createRepetitionFilter({ database, stream }),
      hasHandler,
      metrics,
      random,
    }
    const deliver = createDelivery({
      ...shared,
      effect,
      afterCommit,
      deadLetters,
      retry,
      startAnywhere: history === 'partial',
      outage: createOutage({ log, what: `the database of ${name}` }),
      log,
    })
    const outage = createOutage({ log, what: name })
    const { signal } = stopping
    return startStreamReader({ ...shared, lanes, claimAfterMs, deliver, outage, signal })
  })

  return {
    deadLetters,
    async stop() {
      stopping.abort()
      await lanes.stop()
      await Promise.all(readers.map((reader) => reader.leave()))
    },
  }
}

/** A type comes from outside, and may be called `constructor`. */
function own<V>(table: Readonly<Record<string, V>>, type: string): V | undefined {
  return Object.hasOwn(table, type) ? table[type] : undefined
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(new Error(`the handler took longer than ${timeoutMs} ms`))
  }, timeoutMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
