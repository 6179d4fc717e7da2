import { decodePayload, Sealed } from './codec.ts'
import { headerLength } from './entry.ts'
import { Flight } from './flight.ts'
import type { KindCore } from './kind-core.ts'
import { localKey, type Key } from './kind-name.ts'

/** What a tier would answer. Two looks with the same `identity` saw the same entry, untouched by any invalidation. */
export type Seen = {
  readonly tier: 'l1' | 'l2'
  readonly value: unknown
  readonly identity: string
}

/**
 * What each tier of this process would answer for the key, by the rules of a read, but without loading, without being
 * counted and without keeping anything. Entries past their TTL are known to be old, and are not shown.
 */
export async function inspect(core: KindCore, key: Key): Promise<readonly Seen[]> {
  const encoded = core.names.encode(key)
  const id = localKey(encoded)
  const seen: Seen[] = []
  const slot = core.slotOf(id)
  if (slot !== undefined) {
    const { values, softUntil, loadedAt } = core.l1
    const kept = values[slot]
    const identity = `${softUntil[slot]} ${loadedAt[slot]}`
    const value = kept instanceof Sealed ? decodePayload(kept.entry) : await kept
    seen.push({ tier: 'l1', value, identity })
  }
  const before = await header(core, encoded)
  if (before === undefined) return seen
  const { value, status } = await look(core, id, encoded)
  // Another entry meanwhile: then this one is gone.
  if (status === 'hit' && (await header(core, encoded)) === before) {
    seen.push({ tier: 'l2', value, identity: before })
  }
  return seen
}

/** Reads L2 as a flight does, for nobody: poisoned, it leaves nothing in L1. */
async function look(core: KindCore, id: string, encoded: string) {
  const request = core.requestOf(undefined, undefined)
  const flight = new Flight(core, `i${id}`, encoded, request, { id, refreshOf: -Infinity })
  flight.poisoned = true
  const value = await flight.start('ordinary')
  return { value, status: flight.status }
}

async function header(core: KindCore, encoded: string): Promise<string | undefined> {
  const shard = core.shardOf(encoded)
  if (!shard.available) return undefined
  const bytes = await core.remoteOf(shard).look(core.entryKey(encoded, shard))
  return bytes?.toString('latin1', 0, headerLength)
}
