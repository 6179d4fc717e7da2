/** The algorithms, by the names of their files in `algorithms/`. */
export type Algorithm =
  | 'fixed-window'
  | 'sliding-log'
  | 'sliding-counter'
  | 'token-bucket'
  | 'leaky-bucket'

/** How many units how often. Made by the functions of this file, which check it. */
export type Policy = {
  readonly algorithm: Algorithm
  /** Units a window; of buckets, the units that flow in a window. */
  readonly limit: number
  readonly windowMs: number
  /** The most units at once. */
  readonly capacity: number
  /** The most units admitted in any window of `windowMs`, wherever it begins. */
  readonly bound: number
}

type Rate = {
  /** Units a window. */
  readonly limit: number
  readonly windowMs: number
}

/** `limit` units until a window ends, which begins with its first unit. Any sliding window sees at most twice that. */
export function fixedWindow({ limit, windowMs }: Rate): Policy {
  return checked({ algorithm: 'fixed-window', limit, windowMs, capacity: limit, bound: 2 * limit })
}

/** Exactly `limit` units in any sliding window. Keeps one entry for each unit, so at most 10,000. */
export function slidingLog({ limit, windowMs }: Rate): Policy {
  if (limit > 10_000) {
    throw new RangeError(
      `The limit of a sliding log is ${limit}: it keeps an entry for each unit, so use at most 10,000 or a slidingCounter.`,
    )
  }
  return checked({ algorithm: 'sliding-log', limit, windowMs, capacity: limit, bound: limit })
}

/** About `limit` units in any sliding window, if they come evenly; up to twice that if somebody tries. Two numbers a key. */
export function slidingCounter({ limit, windowMs }: Rate): Policy {
  return checked({
    algorithm: 'sliding-counter',
    limit,
    windowMs,
    capacity: limit,
    bound: 2 * limit,
  })
}

/**
 * A bucket of `burst` units (where it is not said: `limit`), refilled evenly with `limit` units a window. Any sliding
 * window sees at most `burst + limit`; so `{ limit: n / 2, burst: n / 2 }` admits at most n. One number a key.
 */
export function tokenBucket({ limit, windowMs, burst = limit }: Rate & { burst?: number }): Policy {
  return checked({
    algorithm: 'token-bucket',
    limit,
    windowMs,
    capacity: burst,
    bound: burst + limit,
  })
}

/**
 * A queue that lets `limit` units a window leave, one after another. At most `queue` units wait; a decision says how
 * long (`waitMs`). Whoever waits as told makes at most `limit` + 1 in any window. One number a key.
 */
export function leakyBucket({ limit, windowMs, queue }: Rate & { queue: number }): Policy {
  if (!Number.isSafeInteger(queue) || queue < 0) {
    throw new RangeError(`The queue of a leaky bucket is ${queue}: give a whole number from 0.`)
  }
  const capacity = queue + 1
  return checked({ algorithm: 'leaky-bucket', limit, windowMs, capacity, bound: limit + 1 })
}

const longestMs = 31 * 86_400_000

function checked(policy: Policy): Policy {
  for (const [name, value] of Object.entries({
    limit: policy.limit,
    windowMs: policy.windowMs,
    burst: policy.capacity,
  })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`The ${name} of a limit is ${value}: give a whole number from 1.`)
    }
  }
  const { limit, windowMs, capacity } = policy
  if (windowMs > longestMs) {
    throw new RangeError(`The windowMs of a limit is ${windowMs}: give at most 31 days.`)
  }
  const windowUs = windowMs * 1000
  const intervalUs = Math.ceil(windowUs / limit)
  // Whole microseconds, rounded up: never faster than promised, and never much slower.
  if (isBucket(policy) && intervalUs * limit > windowUs * 1.01) {
    throw new RangeError(
      `The limit of ${limit} in ${windowMs} ms is not exact to 1 % in whole microseconds: use a rounder one.`,
    )
  }
  let largest = windowUs
  if (isBucket(policy)) largest = capacity * intervalUs
  else if (policy.algorithm === 'sliding-counter') largest = limit * windowUs
  // Beside a moment in µs, of today or in decades, all must stay a whole number in a double.
  if (largest > Number.MAX_SAFE_INTEGER / 2) {
    throw new RangeError(
      `The limit of ${limit} in ${windowMs} ms with ${capacity} at once is too large to be counted exactly.`,
    )
  }
  return Object.freeze(policy)
}

function isBucket({ algorithm }: Policy): boolean {
  return algorithm === 'token-bucket' || algorithm === 'leaky-bucket'
}

/** The same policy with its rate and capacity at a share (above 0, at most 1), never below one unit. */
export function scaled(policy: Policy, share: number): Policy {
  if (share >= 1) return policy
  const part = (units: number) => Math.max(1, Math.floor(units * share))
  return { ...policy, limit: part(policy.limit), capacity: part(policy.capacity) }
}

/** The same policy with `factor` times its units, at least one. Throws RangeError where that cannot be counted exactly. */
export function scaledBy(policy: Policy, factor: number): Policy {
  const times = (units: number) => Math.max(1, Math.round(units * factor))
  const [limit, burst] = [times(policy.limit), times(policy.capacity)]
  const { windowMs } = policy
  switch (policy.algorithm) {
    case 'fixed-window':
      return fixedWindow({ limit, windowMs })
    case 'sliding-log':
      return slidingLog({ limit, windowMs })
    case 'sliding-counter':
      return slidingCounter({ limit, windowMs })
    case 'token-bucket':
      return tokenBucket({ limit, windowMs, burst })
    default:
      return leakyBucket({ limit, windowMs, queue: Math.max(0, burst - 1) })
  }
}
