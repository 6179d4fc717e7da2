/**
 * `hit`: from the cache. `stale`: from the cache, past its TTL, since the load failed or takes long. `miss`: loaded.
 * `bypass`: loaded without asking the cache, since it may not be believed now, or is switched off.
 */
export type ReadStatus = 'hit' | 'stale' | 'miss' | 'bypass'
export type ReadTier = 'l1' | 'l2' | 'source'

/** A value, and where it came from. */
export type ReadOutcome<V> = {
  readonly value: V
  readonly status: ReadStatus
  readonly tier: ReadTier
  /** The entry's name in Redis. */
  readonly key: string
  /** Time since it was stored, and until it is no longer fresh; both 0 where nothing is stored. */
  readonly ageMs: number
  readonly ttlMs: number
}
