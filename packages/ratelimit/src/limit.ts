import type { KeyPart } from '@wattle/redis'
import type { Policy } from './policy.ts'
import type { Row } from './row.ts'

/** Who goes first when a level runs low: see `reserve` of a level. */
export type Priority = 'high' | 'normal' | 'low'

/** One of the things that a limit counts by: the user, the address, the endpoint, everybody together. */
export type Level<C> = {
  /** A lower-case name, unique in its limit. */
  readonly name: string
  /** Or one for each context, such as for each country; where it returns undefined the level does not apply. */
  readonly policy: Policy | ((context: C) => Policy | undefined)
  /** Whom it counts; one counter for all where it is not given. Where it returns undefined the level does not apply. */
  readonly key?: (context: C) => KeyPart | undefined
  /**
   * The share (0 to 1) of the capacity that calls of a priority leave to higher ones, so that low ones are shed first.
   * A call that names no priority is `high`. See `shedLowFirst`.
   */
  readonly reserve?: Readonly<Partial<Record<Priority, number>>>
  /** The share of the policy that holds just now, above 0 and at most 1: see `adaptive`. */
  readonly scale?: () => number
}

/** A level of another limit that is only looked at; made by `dependency`. */
export type Dependency<C> = {
  readonly on: Limit<never>
  readonly contextOf: (context: C) => unknown
}

export type LimitOptions<C> = {
  /**
   * Without Redis: `local` (default) decides in this process, with `localShare` of every level; `closed` refuses.
   */
  readonly withoutRedis?: 'local' | 'closed'
  /** Share of the limit that each process grants by itself without Redis; 0.5. For the exact bound: 1 / processes. */
  readonly localShare?: number
  /**
   * For limits of high rates, of one level: the process takes `size` units at a time from Redis and grants most calls
   * without asking. What is unused after `maxAgeMs` (default: the window) is lost.
   */
  readonly lease?: { readonly size: number; readonly maxAgeMs?: number }
  /**
   * Limits that look at one another share a group, which is their hash tag in a Redis Cluster; by default the keys of a
   * limit of several levels share its name, and those of a limit of one level are spread.
   */
  readonly group?: string
  /** Limits of the same group that must not be exhausted. They are looked at and not charged. */
  readonly dependsOn?: readonly Dependency<C>[]
  /** Called at every refusal, after it was decided. What it throws is logged. */
  readonly onReached?: (decision: Decision, context: C) => void
} & (
  | { readonly policy: Level<C>['policy']; readonly key?: Level<C>['key'] }
  | { readonly levels: readonly Level<C>[] }
)

export type LevelState = {
  readonly level: string
  readonly limit: number
  readonly windowMs: number
  readonly remaining: number
  readonly resetMs: number
}

/** What was decided. The numbers are those of `level`. */
export type Decision = {
  readonly allowed: boolean
  /** The level that refused (the one with the longest wait), or, where allowed, the one with the least left. */
  readonly level: string
  /** Units a window. */
  readonly limit: number
  /** Units left after this call, for a call of its priority. */
  readonly remaining: number
  /** After which the same call may be allowed; 0 where it was. */
  readonly retryAfterMs: number
  /** Until everything is there again, if nobody calls. */
  readonly resetMs: number
  /** Leaky bucket: how long the caller has to wait for its turn. Else 0. */
  readonly waitMs: number
  readonly decidedBy: 'redis' | 'lease' | 'local' | 'nobody'
  /** Every level that applied. */
  readonly levels: readonly LevelState[]
  /** For `refund`. */
  readonly receipt: Receipt | undefined
}

/** What was charged. */
export type Receipt = {
  readonly keys: readonly string[]
  readonly rows: readonly Row[]
  readonly cost: number
  readonly atUs: number
  readonly by: 'redis' | 'lease' | 'local'
  refunded: boolean
}

export type CallOptions = {
  /** Units of the call; 1. */
  readonly cost?: number
  readonly priority?: Priority
}

export type LimitStatistics = {
  readonly allowed: number
  readonly refused: number
  /** Decided without Redis. */
  readonly allowedLocally: number
  readonly refusedLocally: number
  /** Refused because Redis is away and the limit is `closed`. */
  readonly closed: number
  readonly refunded: number
  /** Refusals by level. */
  readonly refusedBy: Readonly<Record<string, number>>
}

/** A limit by its name. No method rejects because of Redis. */
export type Limit<C> = {
  readonly name: string
  /**
   * Charges the call on every level that applies, or, where one refuses, on none. Throws RangeError when the cost is no
   * whole number from 1, or more than a level can ever hold.
   */
  take(context: C, options?: CallOptions): Promise<Decision>
  /** What `take` would say, charging nothing. */
  peek(context: C, options?: CallOptions): Promise<Decision>
  /**
   * Gives back what a decision charged, once: to the window it was charged in, where that still counts. Resolves to
   * whether something was given back.
   */
  refund(decision: Decision): Promise<boolean>
  /**
   * Forgets what was counted for this context: at the levels that have a key (or the only one), or at those named. Resolves to whether
   * Redis did it.
   */
  reset(context: C, levels?: readonly string[]): Promise<boolean>
  statistics(): LimitStatistics
  /** The keys of a context, for `dependency` and for people who look them up. */
  keysOf(context: C): readonly string[]
}

/** The reserve of a level that sheds low priority first, then normal. */
export const shedLowFirst = { low: 0.5, normal: 0.2, high: 0 } as const

/**
 * The calls of this limit need that of another, such as the one that a supplier sets: they are refused while that is
 * exhausted. Both limits name the same `group`.
 */
export function dependency<C, D>(on: Limit<D>, contextOf: (context: C) => D): Dependency<C> {
  return { on, contextOf }
}
