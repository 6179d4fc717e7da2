import type { Redis } from 'ioredis'

/** Everything that a server holds, as a replica has it when its master is lost a little later. */
export async function snapshot(raw: Redis): Promise<Snapshot> {
  const keys = await raw.keys('*')
  const found = await Promise.all(
    keys.map(async (key) => {
      const dump = await raw.dumpBuffer(key)
      // Leases come and go.
      return dump ? [{ key, ttlMs: Math.max(0, await raw.pttl(key)), dump }] : []
    }),
  )
  return found.flat()
}

/** Keys with what they hold, and for how long. */
export type Snapshot = { key: string; ttlMs: number; dump: Buffer }[]

/**
 * What a failover does to who watches from outside, in one step on one server: from now on the history has another
 * identity, and lacks everything that happened since the snapshot. `cut` breaks all connections too.
 */
export async function failOver(raw: Redis, before: Snapshot, { cut = false } = {}): Promise<void> {
  const step = raw.multi().replicaof('127.0.0.1', 1).replicaof('NO', 'ONE').flushall()
  for (const { key, ttlMs, dump } of before) step.restore(key, ttlMs, dump)
  if (cut) step.call('CLIENT', 'KILL', 'SKIPME', 'yes')
  for (const [error] of (await step.exec()) ?? []) if (error) throw error
}
