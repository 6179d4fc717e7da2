/*
 * A service that does not answer costs its callers their whole deadline, one after the other, and a service that comes
 * back is knocked down again by everybody who waited for it. A circuit breaker (Nygard, Release It!; its states as in
 * Fowler's article) ends the first, and its way back ends the second:
 *
 *   closed ── failures ≥ 5 and ≥ half of the last calls ──> open ── its time is over ──> half-open
 *     ^                                                      ^                              │  │
 *     │                                                      └───────── a probe fails ──────┘  │
 *     └──── ramp: one call at a time more for each success <──── all probes succeed ───────────┘
 *
 * Invariants:
 * 1. Open: nothing is sent. Half-open: exactly `probes` calls are, and all others are refused, never kept waiting; who
 *    waited for the verdict would be sent all at once with it.
 * 2. A call counts only for the era in which it was sent. What hung since before the circuit opened says nothing about
 *    the service of now, whichever way it ends.
 * 3. A call that ends without a verdict (its caller left) gives its place to another; no place is ever lost.
 * 4. After the probes, the calls under way may be `probes`, and one more for each success, until there are `fullAt` or
 *    `windowMs` has passed: a service with cold caches is not met by everybody in one moment.
 * 5. Each opening soon after another lasts twice as long as that, up to `maxOpenMs`, less a random part, so that many
 *    callers do not probe in step.
 *
 * The share is taken over the last `windowCalls` calls of the last `windowMs`: by count, so that under load the successes
 * from before a failure are soon forgotten; by time, so that rare failures of a quiet hour are never added up.
 */

export type CircuitState = 'closed' | 'half-open' | 'open'

export type CircuitRules = {
  /** Fewer failures never open it; 5. */
  readonly minFailures: number
  /** The share of failures among the calls looked at that opens it; 0.5. */
  readonly failureShare: number
  readonly windowMs: number
  readonly windowCalls: number
  /** Calls let through while half-open; 3. */
  readonly probes: number
  /** How long it is open at most, the first time; 1,000. */
  readonly openMs: number
  /** How long at most, after several failed probes; 5,000. */
  readonly maxOpenMs: number
  /** Calls under way at which the ramp after a recovery ends; 64. */
  readonly fullAt: number
}

export const defaultRules: CircuitRules = {
  minFailures: 5,
  failureShare: 0.5,
  windowMs: 10_000,
  windowCalls: 100,
  probes: 3,
  openMs: 1_000,
  maxOpenMs: 5_000,
  fullAt: 64,
}

/** Ends a call that was let through; `unknown` where it says nothing about the service. To be called exactly once. */
export type EndCall = (outcome: 'succeeded' | 'failed' | 'unknown', cause?: unknown) => void

export type Circuit = {
  readonly state: CircuitState
  /** The calls that were looked at last, and how many of them failed. */
  readonly recent: { readonly calls: number; readonly failed: number }
  /** Lets a call through, or does not: undefined. */
  enter(): EndCall | undefined
  /** When to come again, for who was not let through. */
  retryInMs(): number
}

/** The state machine of one circuit. `now` may count from anywhere but must not jump. */
export function createCircuit(options: {
  rules?: Partial<CircuitRules>
  now: () => number
  random: () => number
  onChange?: (state: CircuitState, cause?: unknown) => void
}): Circuit {
  const { now, random, onChange } = options
  const rules = { ...defaultRules, ...options.rules }
  let state: CircuitState = 'closed'
  let era = 0
  let underWay = 0
  let proven = 0
  let openings = 0
  let openUntilMs = 0
  let rampUntilMs = -Infinity
  let rampLimit = 0
  let recent: { atMs: number; failed: boolean }[] = []
  let failures = 0

  function change(to: CircuitState, cause?: unknown): void {
    state = to
    era++
    underWay = 0
    proven = 0
    recent = []
    failures = 0
    onChange?.(to, cause)
  }

  function open(cause: unknown): void {
    openings = state === 'half-open' || isRamping() ? openings + 1 : 1
    const longestMs = Math.min(rules.maxOpenMs, rules.openMs * 2 ** (openings - 1))
    openUntilMs = now() + longestMs * (0.5 + random() / 2)
    change('open', cause)
  }

  function close(): void {
    rampLimit = rules.probes
    rampUntilMs = now() + rules.windowMs
    change('closed')
  }

  const isRamping = () => now() < rampUntilMs

  function room(): number {
    if (state === 'open') return 0
    if (state === 'half-open') return rules.probes - proven
    return isRamping() ? rampLimit : Infinity
  }

  function forgetOld(): void {
    const oldestMs = now() - rules.windowMs
    for (let first = recent[0]; first !== undefined; first = recent[0]) {
      if (recent.length <= rules.windowCalls && first.atMs >= oldestMs) return
      if (first.failed) failures--
      recent.shift()
    }
  }

  function count(failed: boolean, cause: unknown): void {
    recent.push({ atMs: now(), failed })
    if (failed) failures++
    forgetOld()
    if (!failed) {
      if (isRamping() && ++rampLimit >= rules.fullAt) rampUntilMs = -Infinity
    } else if (failures >= rules.minFailures && failures >= rules.failureShare * recent.length) {
      open(cause)
    }
  }

  const mayProbe = () => state === 'open' && now() >= openUntilMs

  return {
    get state() {
      return mayProbe() ? 'half-open' : state
    },
    get recent() {
      forgetOld()
      return { calls: recent.length, failed: failures }
    },
    enter() {
      if (mayProbe()) change('half-open')
      if (underWay >= room()) return undefined
      underWay++
      const ofEra = era
      return (outcome, cause) => {
        if (ofEra !== era) return
        underWay--
        if (outcome === 'unknown') return
        if (state === 'closed') count(outcome === 'failed', cause)
        else if (outcome === 'failed') open(cause)
        else if (++proven === rules.probes) close()
      }
    },
    retryInMs: () => (state === 'open' ? Math.max(0, openUntilMs - now()) : rules.openMs),
  }
}
