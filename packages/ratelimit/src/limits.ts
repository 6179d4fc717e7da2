import type { KeySpace, Log, RedisConnection } from '@wattle/redis'
import type { Registry } from 'prom-client'
import { createDecider } from './decider.ts'
import type { Limit, LimitOptions } from './limit.ts'
import { defineLimit } from './define-limit.ts'
import { createLocalLimiter } from './local.ts'
import { createStatistics } from './statistics.ts'

export type RateLimitsOptions = {
  /** A connection to the `cache` group. */
  readonly redis: RedisConnection
  /** Needs a `personalSecret` where keys hold addresses or other personal values. */
  readonly keys: KeySpace
  readonly log: Log
  /** Metrics of the process; one `createRateLimits` each. */
  readonly registry?: Registry
  /** Longest wait for Redis in milliseconds; 60. */
  readonly deadlineMs?: number
  /** How often Redis is tried while it is away; 250. */
  readonly probeEveryMs?: number
  /** Calls in one script at most; 16, so that Redis decides one batch while the next is being written. */
  readonly maxBatch?: number
  /** Keys kept in this process, for the time without Redis and for each leased limit; 10,000. */
  readonly maxLocalKeys?: number
  /** Milliseconds of a clock that never goes back, for what is decided in this process. */
  readonly now?: () => number
}

export type RateLimits = {
  /** Declares a limit. Throws TypeError or RangeError where something is wrong with it, or the name is taken. */
  define<C>(name: string, options: LimitOptions<C>): Limit<C>
  /** Whether Redis decides just now. */
  readonly isRedisAsked: boolean
  /** Ends what runs in the background. The connection is the caller's. */
  close(): void
}

/** The limits of one process. Returns at once, whether Redis is there or not. */
export function createRateLimits(options: RateLimitsOptions): RateLimits {
  const {
    redis,
    keys,
    log,
    registry,
    deadlineMs = 60,
    probeEveryMs = 250,
    maxBatch = 16,
    maxLocalKeys = 10_000,
    now = () => performance.now(),
  } = options
  const statistics = createStatistics(keys.service, registry)
  const decider = createDecider({
    redis,
    probeKey: keys.key('token-bucket', 'probe'),
    log,
    deadlineMs,
    probeEveryMs,
    maxBatch,
    onCircuit: statistics.circuit,
  })
  const local = createLocalLimiter({ now, maxEntries: maxLocalKeys })
  const names = new Set<string>(['probe'])

  return {
    define(name, limitOptions) {
      if (names.has(name)) {
        throw new TypeError(`There is a limit ${name} already: give this one another name.`)
      }
      const tally = statistics.of(name)
      const deps = { redis, keys, log, decider, local, tally, now, maxLocalKeys }
      const limit = defineLimit(deps, name, limitOptions)
      names.add(name)
      return limit
    },
    get isRedisAsked() {
      return decider.isAvailable
    },
    close: decider.close,
  }
}
