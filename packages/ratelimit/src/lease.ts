import type { Decision, LevelState, Receipt } from './limit.ts'
import type { Resolved } from './levels.ts'
import { rowOf, type Row } from './row.ts'

/** What Redis answered to a request for units; undefined where it did not. */
export type Grant =
  | { granted: number; remaining: number; resetMs: number; retryAfterMs: number }
  | undefined

type Lease = {
  readonly resolved: Resolved
  held: number
  endsAtMs: number
  /** Nothing is there before; known from Redis. */
  emptyUntilMs: number
  remaining: number
  resetAtMs: number
  asking: Promise<boolean> | undefined
}

/**
 * Units taken ahead. A process holds at most `size` unused units a key: what is asked for is what is missing to that.
 * So however the fleet uses them, in any window it admits at most what the policy admits, and `size` more for each
 * process: units that were charged before the window and used in it.
 */
export function createLeases({
  size,
  maxAgeMs,
  maxEntries,
  now,
  ask,
}: {
  size: number
  maxAgeMs: number
  maxEntries: number
  now: () => number
  /** Takes units from Redis. */
  ask: (key: string, row: Row) => Promise<Grant>
}) {
  const leases = new Map<string, Lease>()
  const lowWater = Math.floor(size / 2)
  /** A refusal is believed this long at most: others may refund or reset. */
  const mostEmptyMs = Math.min(1_000, maxAgeMs)

  function leaseOf(resolved: Resolved): Lease {
    const key = resolved.keys[0] as string
    let lease = leases.get(key)
    if (lease === undefined) {
      lease = {
        resolved,
        held: 0,
        endsAtMs: 0,
        emptyUntilMs: 0,
        remaining: 0,
        resetAtMs: 0,
        asking: undefined,
      }
      leases.set(key, lease)
      const [oldest] = leases.keys()
      if (leases.size > maxEntries && oldest !== undefined) leases.delete(oldest)
    }
    return lease
  }

  /** Resolves to whether Redis answered. */
  function topUp(lease: Lease, need: number): Promise<boolean> {
    const [key = ''] = lease.resolved.keys
    const { policy } = lease.resolved.rows[0] as Row
    lease.asking ??= (async () => {
      const most = Math.max(need, size - lease.held)
      const grant = await ask(key, rowOf(policy, { need, most }))
      lease.asking = undefined
      if (grant === undefined) return false
      const at = now()
      lease.remaining = grant.remaining
      lease.resetAtMs = at + grant.resetMs
      if (grant.granted === 0) {
        lease.emptyUntilMs = at + Math.min(grant.retryAfterMs, mostEmptyMs)
        return true
      }
      lease.held += grant.granted
      lease.endsAtMs = at + maxAgeMs
      return true
    })()
    return lease.asking
  }

  function decision(lease: Lease, at: number, cost: number, allowed: boolean): Decision {
    const { keys, rows, names } = lease.resolved
    const { policy } = rows[0] as Row
    const state: LevelState = {
      level: names[0] as string,
      limit: policy.limit,
      windowMs: policy.windowMs,
      remaining: lease.held + lease.remaining,
      resetMs: Math.max(0, Math.ceil(lease.resetAtMs - at)),
    }
    const receipt: Receipt | undefined = allowed
      ? { keys, rows, cost, atUs: 0, by: 'lease', refunded: false }
      : undefined
    return {
      allowed,
      level: state.level,
      limit: state.limit,
      remaining: state.remaining,
      retryAfterMs: allowed ? 0 : Math.max(1, Math.ceil(lease.emptyUntilMs - at)),
      resetMs: state.resetMs,
      waitMs: 0,
      decidedBy: 'lease',
      levels: [state],
      receipt,
    }
  }

  /** The decision, where it needs no round trip. */
  function decideNow(key: string, cost: number): Decision | undefined {
    const lease = leases.get(key)
    if (lease === undefined) return undefined
    const at = now()
    if (lease.held > 0 && at >= lease.endsAtMs) lease.held = 0
    if (lease.held >= cost) {
      lease.held -= cost
      if (lease.held <= lowWater && lease.asking === undefined && at >= lease.emptyUntilMs) {
        void topUp(lease, 1)
      }
      return decision(lease, at, cost, true)
    }
    return at < lease.emptyUntilMs ? decision(lease, at, cost, false) : undefined
  }

  return {
    decideNow,
    /** Asks Redis until there is a decision; undefined where it does not answer. */
    async decide(resolved: Resolved, cost: number): Promise<Decision | undefined> {
      const [key = ''] = resolved.keys
      for (;;) {
        const decided = decideNow(key, cost)
        if (decided !== undefined) return decided
        const lease = leaseOf(resolved)
        const answered = await topUp(lease, cost - lease.held)
        if (!answered) return undefined
      }
    },
    /** Gives units back to this process, as far as it may hold them. */
    giveBack(key: string, units: number): boolean {
      const lease = leases.get(key)
      // What is being asked for may fill it up to the size.
      if (lease === undefined || lease.asking !== undefined || now() >= lease.endsAtMs) return false
      if (lease.held + units > size) return false
      lease.held += units
      return true
    },
    forget: (key: string) => void leases.delete(key),
  }
}
