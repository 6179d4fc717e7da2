import type { RedisConnection } from '@wattle/redis'
import type { Invalidation } from '../invalidation.ts'
import type { Key } from '../kind-name.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Counts, RetryOptions, Write } from './delivery.ts'

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

const least = {
  batchSize: 1,
  everyMs: 0,
  replicas: 0,
  waitMs: 1,
  maxChanges: 1,
  maxKeys: 1,
  maxValueBytes: 1,
  maxDeadLetters: 0,
  writeTimeoutMs: 1,
  takeOverAfterMs: 100,
} as const satisfies Partial<Record<keyof WriteBehindOptions<unknown>, number>>

/** Throws a RangeError that names the option. */
export function checkOptions(options: WriteBehindOptions<never>): void {
  for (const option of Object.keys(least) as (keyof typeof least)[]) {
    const value = options[option]
    if (value === undefined || (Number.isSafeInteger(value) && value >= least[option])) continue
    throw new RangeError(
      `${option} of write-behind ${options.name} is ${value}: give a whole number from ${least[option]} on`,
    )
  }
}
