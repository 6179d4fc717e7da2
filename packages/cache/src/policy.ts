import type { AdaptiveBounds, AdaptiveOptions } from './adaptive.ts'
import { durationMs, type Duration } from './duration.ts'

/** How one kind of entry is kept. Everything but `ttl` has a default. */
export type KindOptions = {
  /** How long a value is fresh. Shortened at random by up to a tenth, so that what was stored together does not expire together. */
  ttl: Duration
  /**
   * Lets the TTL of an entry move between bounds: it doubles when a refresh finds the value unchanged, is halved when it
   * finds another, and begins at `ttl` after an invalidation. Needs `refreshAhead` or `grace`.
   */
  adaptive?: AdaptiveOptions
  /** How long after that it may still be served, marked as stale, when the load fails or is slow. Never after an invalidation. */
  grace?: Duration
  /** How long the absence of a value (`undefined`) is kept. Without it absence is not cached. */
  absentTtl?: Duration
  /** From this share of its TTL on, a value is loaded anew in the background, by one process. Default 0.8; false: never. */
  refreshAhead?: number | false
  /**
   * A read takes one script instead of a plain one, and uses nothing from before a failover: no bounded staleness then
   * either. Default false.
   */
  strict?: boolean
  /** Whether this process keeps values itself. Default true. */
  l1?: boolean
  /** With grace: how long readers wait for a load before they get the stale value. Default 200 ms. */
  softTimeout?: Duration
  /** How long a load may take; readers then get a LoadTimeoutError, or a stale value. Default 10 s. */
  hardTimeout?: Duration
  /** Payloads longer than this many bytes are compressed. Default 8192. */
  compressAbove?: number
  /** Grows when the shape of the value or of the key changes; releases with different versions do not see each other's entries. Default 1. */
  version?: number
}

export type Policy = {
  readonly softMs: number
  readonly adaptive: AdaptiveBounds | undefined
  readonly graceMs: number
  readonly absentMs: number
  readonly refreshShare: number
  readonly strict: boolean
  readonly l1: boolean
  readonly softTimeoutMs: number
  readonly hardTimeoutMs: number
  readonly compressAbove: number
}

/** Tags older than this are forgotten, so no entry may live longer. */
export const longestMs = durationMs('the longest TTL', '7d')

/** A TTL shortened at random by up to a tenth, so that what was stored together does not expire together. */
export const shortened = (ms: number, random: () => number): number =>
  Math.max(1, Math.floor(ms * (1 - jitterShare * random())))
const jitterShare = 0.1

/** Milliseconds of a TTL. Throws a RangeError that names the kind when it is none, or longer than any entry may live. */
export function entryTtlMs(kind: string, ttl: Duration): number {
  const ms = durationMs(`ttl of ${kind}`, ttl)
  if (ms > longestMs) throw new RangeError(`ttl of ${kind} is "${ttl}": at most 7d are possible`)
  return ms
}

/** Throws a RangeError that names the kind and the setting when one is out of range. */
export function policyOf(kind: string, options: KindOptions): Policy {
  const {
    grace,
    absentTtl,
    refreshAhead = 0.8,
    softTimeout = '200ms',
    hardTimeout = '10s',
  } = options
  const softMs = durationMs(`ttl of ${kind}`, options.ttl)
  const graceMs = grace === undefined ? 0 : durationMs(`grace of ${kind}`, grace)
  const adaptive = options.adaptive && boundsOf(kind, options.adaptive, softMs)
  if (adaptive && refreshAhead === false && graceMs === 0) {
    throw new RangeError(
      `adaptive of ${kind} needs refreshAhead or grace: without both no value has a predecessor`,
    )
  }
  if ((adaptive?.maxMs ?? softMs) + graceMs > longestMs) {
    throw new RangeError(
      `ttl and grace of ${kind} are more than 7 days together: shorten one of them`,
    )
  }
  const absentMs = absentTtl === undefined ? 0 : durationMs(`absentTtl of ${kind}`, absentTtl)
  if (absentMs > longestMs)
    throw new RangeError(`absentTtl of ${kind} is more than 7 days: shorten it`)
  if (refreshAhead !== false && !(refreshAhead > 0 && refreshAhead < 1)) {
    throw new RangeError(
      `refreshAhead of ${kind} is ${refreshAhead}: give a share between 0 and 1, or false`,
    )
  }
  const { compressAbove = 8_192 } = options
  if (!(compressAbove >= 0))
    throw new RangeError(`compressAbove of ${kind} is not a number of bytes`)
  return {
    softMs,
    adaptive,
    graceMs,
    absentMs,
    refreshShare: refreshAhead === false ? Infinity : refreshAhead,
    strict: options.strict ?? false,
    l1: options.l1 ?? true,
    // A timer knows no longer time.
    softTimeoutMs: Math.min(durationMs(`softTimeout of ${kind}`, softTimeout), 2 ** 31 - 1),
    hardTimeoutMs: durationMs(`hardTimeout of ${kind}`, hardTimeout),
    compressAbove,
  }
}

function boundsOf(kind: string, { min, max }: AdaptiveOptions, softMs: number): AdaptiveBounds {
  const minMs = durationMs(`adaptive.min of ${kind}`, min)
  const maxMs = durationMs(`adaptive.max of ${kind}`, max)
  if (minMs <= softMs && softMs <= maxMs) return { minMs, maxMs }
  throw new RangeError(
    `adaptive of ${kind} is from ${min} to ${max}: give bounds with the ttl between them`,
  )
}
