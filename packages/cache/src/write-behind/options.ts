import type { RedisConnection } from '@wattle/redis'
import type { Invalidation } from '../invalidation.ts'
import type { Key } from '../kind-name.ts'
import type { Counts } from './counts.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { RetryOptions, Write } from './delivery.ts'
import { wholeNumber } from '../number-option.ts'
import { looksLikeOutage } from './errors.ts'

export type WriteBehindOptions<V> = {
  /** The `state` group: never evicting, append-only. */
  redis: RedisConnection
  /** Names the stream; the same in every process, and used for one kind only. */
  name: string
  /** Writes changes of different keys to the source. At least once, so it must be idempotent. What it rejects with is retried. */
  write: Write<V>
  /** Changes in one call of `write`. Default 100. */
  batchSize?: number
  /** What is changed within this time goes out together. Default 500. */
  everyMs?: number
  /** A change is accepted when so many replicas have it. Default 0; where the group has replicas, 1. */
  replicas?: number
  /** How long to wait for them. Default 300. */
  waitMs?: number
  /** Changes that may wait for the source; beyond, put refuses. Default 100,000. */
  maxChanges?: number
  /** Keys with a change that waits. Default 50,000. */
  maxKeys?: number
  /** Of one value, compressed. Default 65,536. */
  maxValueBytes?: number
  /** Default 10,000; when they are full, what is refused stays in the stream. */
  maxDeadLetters?: number
  retry?: Partial<RetryOptions>
  /** After which `write` has failed, as in an outage. Default 30,000. */
  writeTimeoutMs?: number
  /** How long the writer's death goes unnoticed. Default 5,000. */
  takeOverAfterMs?: number
  /** What a load does when it cannot ask for pending changes. Default `refuse`. */
  whenStateIsAway?: 'refuse' | 'source'
  /** Whether what `write` rejected with means that the source is away; then nothing is blamed on a change. */
  isOutage?: (cause: unknown) => boolean
}

export type Accepted = {
  readonly outcome: 'accepted'
  /** See `Change`. */
  readonly version: number
  /** What became of the entry; `deferred`: other processes may serve the old value until the cache group is back. */
  readonly cache: Invalidation
}

export type Backlog = { changes: number; keys: number; deadLetters: number; oldestMs: number }

export type WriteBehind<V> = {
  /** Accepts a change. Rejects with WriteRefusedError, or TypeError for what cannot be kept. */
  put(key: Key, value: V, options?: { tags?: readonly string[] }): Promise<Accepted>
  readonly deadLetters: DeadLetters<V>
  /** What waits, and for how long the oldest has. Rejects when Redis does not serve. */
  backlog(): Promise<Backlog>
  /** Of this process. */
  statistics(): Readonly<Counts>
  /** Accepts no more, and writes what waits, for at most `withinMs` (default 10,000); the rest is left to others. */
  stop(options?: { withinMs?: number }): Promise<void>
}

/** Everything said, by the caller or by default. */
export type Settings<V> = Readonly<
  Required<Omit<WriteBehindOptions<V>, 'retry'>> & { retry: RetryOptions }
>

/** Of each option that is a number: what it is when it is not given, and the least it may be. */
const numbers = {
  batchSize: [100, 1],
  everyMs: [500, 0],
  replicas: [0, 0],
  waitMs: [300, 1],
  maxChanges: [100_000, 1],
  maxKeys: [50_000, 1],
  maxValueBytes: [65_536, 1],
  maxDeadLetters: [10_000, 0],
  writeTimeoutMs: [30_000, 1],
  takeOverAfterMs: [5_000, 100],
} as const satisfies Partial<
  Record<keyof WriteBehindOptions<unknown>, readonly [usual: number, least: number]>
>
const usualRetry: RetryOptions = { maxAttempts: 10, baseMs: 100, longestMs: 30_000 }

/** Throws a RangeError or TypeError that names the option. */
export function settingsOf<V>(options: WriteBehindOptions<V>): Settings<V> {
  const { redis, name, write, whenStateIsAway = 'refuse', isOutage = looksLikeOutage } = options
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(`name of a write-behind is ${JSON.stringify(name)}: give it a name`)
  }
  const refuse = (option: string, remedy: string) => {
    throw new TypeError(`${option} of write-behind ${name} cannot be used: ${remedy}`)
  }
  if (typeof redis?.blocking !== 'function') refuse('redis', 'give what connectRedis returned')
  if (typeof write !== 'function') refuse('write', 'give a function that writes to the source')
  if (typeof isOutage !== 'function')
    refuse('isOutage', 'give a function of what write rejected with')
  if (whenStateIsAway !== 'refuse' && whenStateIsAway !== 'source') {
    refuse('whenStateIsAway', "give 'refuse' or 'source'")
  }
  const entries = Object.entries(numbers).map(([option, [usual, least]]) => {
    const { [option as keyof typeof numbers]: value = usual } = options
    return [option, wholeNumber(`${option} of write-behind ${name}`, value, least)]
  })
  return {
    redis,
    name,
    write,
    whenStateIsAway,
    isOutage,
    ...(Object.fromEntries(entries) as Record<keyof typeof numbers, number>),
    retry: retryOf(name, options.retry),
  }
}

function retryOf(name: string, given: Partial<RetryOptions> = {}): RetryOptions {
  const retry = { ...usualRetry, ...given }
  const least = { maxAttempts: 1, baseMs: 0, longestMs: 0 }
  for (const option of ['maxAttempts', 'baseMs', 'longestMs'] as const) {
    wholeNumber(`retry.${option} of write-behind ${name}`, retry[option], least[option])
  }
  return retry
}
