import type { Row } from './row.ts'

export type LocalVerdict = {
  allowed: boolean
  levels: { remaining: number; resetMs: number; waitMs: number }[]
}

export type LocalLimiter = {
  /** Decides with `share` of every level's policy; all levels or none are charged. */
  decide(keys: readonly string[], rows: readonly Row[], share: number): LocalVerdict
  forget(key: string): void
  readonly size: number
}

/**
 * Limits inside one process, for the time without Redis: a token bucket in memory whatever the algorithm, at a share of
 * the limit. Holds at most `maxEntries` keys; beyond, those that were not used longest begin anew.
 */
export function createLocalLimiter({
  now,
  maxEntries,
}: {
  /** Milliseconds of a clock that never goes back. */
  now: () => number
  maxEntries: number
}): LocalLimiter {
  /** The moment at which the bucket of a key is full again. The last used stands last. */
  const fullAt = new Map<string, number>()

  function set(key: string, atMs: number): void {
    fullAt.delete(key)
    fullAt.set(key, atMs)
    if (fullAt.size <= maxEntries) return
    const [oldest] = fullAt.keys()
    if (oldest !== undefined) fullAt.delete(oldest)
  }

  return {
    decide(keys, rows, share) {
      const at = now()
      const looks = rows.map(({ policy, step }, level) => {
        const intervalMs = policy.windowMs / (policy.limit * share)
        const capacity = Math.max(1, Math.floor(policy.capacity * share))
        const latest = at + capacity * intervalMs
        const full = Math.min(latest, Math.max(at, fullAt.get(keys[level] as string) ?? at))
        // A call that costs more than this share holds is measured by the whole of it.
        const need = Math.min(step.need, capacity)
        const reserve = Math.min((step.reserve ?? 0) * share, capacity - need)
        const missingMs = need > 0 ? full + (need + reserve) * intervalMs - latest : 0
        return { intervalMs, latest, full, need, missingMs, policy, step }
      })
      // Rounding of fractions must not refuse the last unit.
      const allowed = looks.every(({ missingMs }) => missingMs < 1e-6)
      const levels = looks.map(({ intervalMs, latest, full, need, missingMs, policy, step }, n) => {
        const units = step.most < 0 ? step.most : Math.min(step.most, need)
        const after = allowed ? Math.max(at, full + units * intervalMs) : full
        if (allowed && units !== 0) set(keys[n] as string, after)
        const queued = policy.algorithm === 'leaky-bucket' ? full - at : 0
        return {
          remaining: Math.max(0, Math.floor((latest - after) / intervalMs + 1e-6)),
          resetMs: after - at,
          waitMs: allowed ? queued : Math.max(0, missingMs),
        }
      })
      return { allowed, levels }
    },
    forget: (key) => void fullAt.delete(key),
    get size() {
      return fullAt.size
    },
  }
}
