const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs

/** How long sessions live, and what counts as unusual. */
export const defaultRules = {
  /** More of one person than this are not kept: the oldest ends. */
  maxPerUser: 5,
  /** Without use for so long, a session ends. */
  idleMs: 14 * dayMs,
  /** From its login; never moved. */
  absoluteMs: 30 * dayMs,
  /** With less than this left, replies say that a fresh login is near. */
  freshLoginSoonMs: 7 * dayMs,
  /** For so long after a refresh, the token that was spent gives the same successor again. */
  graceMs: 10_000,
  /** A use is written down at most so often. */
  touchEveryMs: minuteMs,
  /** A longer pause than this is remembered, … */
  pauseMs: 3 * dayMs,
  /** … and more refreshes than this … */
  busyRefreshes: 12,
  /** … within this time after it are unusual: a client refreshes every 15 minutes. */
  busyWithinMs: 30 * minuteMs,
  /** What each sign of another person demands; `record` only writes it down. */
  signs: {
    country_changed: 'fresh login',
    device_changed: 'fresh login',
    network_changed: 'record',
    idle_then_busy: 'fresh login',
  },
} satisfies SessionRules

export type Sign = 'country_changed' | 'device_changed' | 'network_changed' | 'idle_then_busy'

export type SessionRules = {
  readonly maxPerUser: number
  readonly idleMs: number
  readonly absoluteMs: number
  readonly freshLoginSoonMs: number
  readonly graceMs: number
  readonly touchEveryMs: number
  readonly pauseMs: number
  readonly busyRefreshes: number
  readonly busyWithinMs: number
  readonly signs: Readonly<Record<Sign, 'record' | 'fresh login'>>
}

/**
 * How long a revocation must be known: the life of an access token, the tolerance between clocks that its verifiers have,
 * and a minute for clocks that are further apart.
 */
export const revocationLifeMs = 15 * minuteMs + 5_000 + minuteMs
