import type { RedisConnection } from '../connection.ts'
import type { Log } from '../log.ts'
import type { Announcement, createRing } from './ring.ts'

/** `applied`: a master executed it, in the history that this process follows. `deferred`: it is kept, and sent again. */
export type Issued =
  | { outcome: 'applied'; epoch: string; sequence: number; reply: unknown[] }
  | { outcome: 'deferred' }

export interface ShardOptions {
  index: number
  redis: RedisConnection
  /** Whether all subscriptions stand, and how often they were made so far. */
  subscription: () => { active: boolean; times: number }
  channel: string
  keys: { sequence: string; log: string; mark: string }
  kept: number
  trustWindowMs: number
  deadlineMs: number
  closeWithinMs: number
  ring: Omit<Parameters<typeof createRing>[0], 'collapse'> & { collapse: () => Announcement }
  listener: {
    apply(payload: string): void
    lost(): void
    trusted(isTrusted: boolean): void
  }
  log: Log
  now: () => number
  wallNow: () => number
}
