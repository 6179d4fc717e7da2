import type { KeySpace, RedisConnection } from '@wattle/redis'
import type { Registry } from 'prom-client'
import type { Log } from './space.ts'

export type CacheOptions = {
  redis: RedisConnection
  keys: KeySpace
  log: Log
  registry?: Registry | undefined
  /** Bounds of what this process keeps itself. Default 10,000 entries and 32 MiB. */
  l1?: { maxEntries?: number; maxBytes?: number }
  /** How many loaders may run at once. Default 256. */
  loads?: number
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
  /** Milliseconds since 1970, until the server's clock is known. */
  wallNow?: () => number
  random?: () => number
}
