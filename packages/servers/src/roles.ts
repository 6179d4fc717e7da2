import { setTimeout as wait } from 'node:timers/promises'
import type { RedisAddress } from './redis-query.ts'

/** `undefined` for a master, else the address it replicates from. */
export type ReplicaOf = RedisAddress | undefined

export interface RoleEvidence {
  /** The node that is about to start. */
  self: RedisAddress
  /** Who the running Sentinels say is master; undefined when none of them answers. */
  live: RedisAddress | undefined
  /** Who the Sentinels' saved state says is master; undefined when there is none. */
  saved: RedisAddress | undefined
  /** The other nodes of the group that answer now, with what they are. */
  peers: readonly { address: RedisAddress; role: 'master' | 'replica' }[]
  /** Who is master in a group that never ran. */
  first: RedisAddress
}

/**
 * The role in which a node may start, or `wait` while that cannot be told yet.
 *
 * A node never makes itself master while another one of its group is up: it would be master of what it
 * has on disk, in the cache group of nothing, and the others would copy that. If the Sentinels still
 * take it for the master, it was restarted before they noticed; they will choose another one.
 */
export function decideRole(evidence: RoleEvidence): { replicaOf: ReplicaOf } | 'wait' {
  const { self, live, saved, peers, first } = evidence
  const master = live ?? peers.find((peer) => peer.role === 'master')?.address ?? saved ?? first
  if (!isSame(master, self)) return { replicaOf: master }
  return peers.length === 0 ? { replicaOf: undefined } : 'wait'
}

/**
 * Gathers evidence until a role can be told. Throws after `withinMs`, which must be longer than a
 * failover takes, and when the signal aborts.
 */
export async function awaitRole(
  gather: () => Promise<RoleEvidence>,
  withinMs: number,
  signal: AbortSignal,
): Promise<ReplicaOf> {
  const deadline = Date.now() + withinMs
  for (;;) {
    const evidence = await gather()
    signal.throwIfAborted()
    const decision = decideRole(evidence)
    if (decision !== 'wait') return decision.replicaOf
    if (Date.now() > deadline) {
      throw new Error(
        `${evidence.self.host}:${evidence.self.port} was the master and others of its group run, ` +
          `but the Sentinels chose no other master within ${withinMs} ms: it stays down`,
      )
    }
    await wait(100, undefined, { signal })
  }
}

export function isSame(one: RedisAddress | undefined, other: RedisAddress | undefined): boolean {
  return one !== undefined && one.host === other?.host && one.port === other.port
}
