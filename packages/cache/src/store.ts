import {
  defineChannelScript,
  type Argument,
  type Call,
  type Issued,
  type Shard,
} from '@wattle/redis'
import { compressPayload, encodePayload, freezeIfPlain } from './codec.ts'
import { decodeEntry, encodeAround, headerOf, layout, type Payload } from './entry.ts'
import type { createInvalidation, Invalidation } from './invalidation.ts'
import type { KindCore } from './kind-core.ts'
import { localKey, type Key } from './kind-name.ts'
import { shortened } from './policy.ts'
import { renewEveryMs } from './remote.ts'
import { outcomeOf } from './token.ts'
import { mostBytesInOne } from './window.ts'

const putScript = defineChannelScript(new URL('./lua/put.lua', import.meta.url))
const compareScript = defineChannelScript(new URL('./lua/compare-and-set.lua', import.meta.url))
const touchScript = defineChannelScript(new URL('./lua/touch.lua', import.meta.url))
const invalidateScript = defineChannelScript(new URL('./lua/invalidate.lua', import.meta.url))

export type PutOptions = {
  readonly ttlMs?: number | undefined
  readonly tags?: readonly string[] | undefined
}

/** A value, and on what it depends: a lease that must still be held, or nothing. */
type Put = {
  key: Key
  value: unknown
  lease?: { token: string; epoch: string; sequence: string } | undefined
}

/** In one announcement; what a script does in one go holds up all others. */
const mostInOne = 100
/** Announcements of one call. */
const mostUnderWay = 4

/**
 * Values that do not come from a load. Putting one is an invalidation first: every process drops what it has, loads in
 * flight are void; and where it may have to be done again, only the invalidation is.
 */
export function createStore({
  core,
  invalidation,
}: {
  core: KindCore
  invalidation: ReturnType<typeof createInvalidation>
}) {
  const { space, names, policy } = core
  const { channel } = space

  async function payloadOf(value: unknown): Promise<Payload> {
    const payload = encodePayload(value, value === undefined || freezeIfPlain(value))
    return compressPayload(payload, policy.compressAbove)
  }

  function around(shard: Shard, payload: Payload, value: unknown, options: PutOptions) {
    const tags = [
      ...new Set([...space.tags.encode(options.tags ?? []), ...core.valueTagsOf(value)]),
    ]
    const ttlMs = value === undefined ? policy.absentMs : (options.ttlMs ?? policy.softMs)
    const softMs = ttlMs === 0 ? 0 : shortened(ttlMs, space.random)
    const hardMs = softMs + (value === undefined ? 0 : policy.graceMs)
    const storedAtMs = Math.floor(shard.clock.nowMs())
    return {
      parts: encodeAround({ storedAtMs, softMs, hardMs }, tags, payload),
      ttlMs: hardMs,
      tags,
    }
  }

  const others = (encoded: readonly string[], shard: Shard) =>
    encoded.flatMap((one) => invalidation.neighbourKeys({ kind: names, encoded: one }, shard))

  /** Removes entries and leases without touching anything else: what a put is when it has to be done again. */
  function removal(encoded: readonly string[], shard: Shard): Call {
    const keys = [...keysOf(encoded, shard), ...others(encoded, shard)]
    return {
      script: invalidateScript,
      keys: [invalidation.generationsKey(shard), space.tags.index(shard), ...keys],
      args: [keys.length, 0, ''],
    }
  }

  const keysOf = (encoded: readonly string[], shard: Shard) =>
    encoded.flatMap((one) => [core.entryKey(one, shard), core.leaseKey(one, shard)])

  const payloadFor = (encoded: readonly string[], shard: Shard) =>
    JSON.stringify({ e: { [core.name]: encoded }, ms: Math.round(shard.clock.nowMs()) })

  /** For each whether it was stored, and where that stands. */
  async function putPart(shard: Shard, entries: readonly Prepared[]) {
    const encoded: string[] = []
    const tagKeys: string[] = []
    const args: Argument[] = [entries.length, core.name]
    let bytes = 0
    for (const { encoded: one, parts, ttlMs, tags, lease, size } of entries) {
      encoded.push(one)
      bytes += size
      // Of a value that depends on nothing its tags have nothing to say.
      const own = lease ? core.tagKeys(tags, shard) : []
      tagKeys.push(...own)
      const { token = '', epoch = '', sequence = '' } = lease ?? {}
      args.push(token, epoch, sequence, own.length, ...parts, Math.max(1, ttlMs))
    }
    const keys = [
      invalidation.generationsKey(shard),
      ...keysOf(encoded, shard),
      ...tagKeys,
      ...others(encoded, shard),
    ]
    const announce = () =>
      channel.announce(shard, {
        ...removal(encoded, shard),
        payload: payloadFor(encoded, shard),
        first: { script: putScript, keys, args },
      })
    // What has been written to the source waits for nobody.
    const isWritten = entries.some(({ lease }) => lease)
    const issued = await (isWritten ? announce() : core.remoteOf(shard).put(bytes, announce))
    for (const one of encoded) space.local.remove(core, localKey(one))
    return issued
  }

  async function prepare(shard: Shard, { key, value, lease }: Put, options: PutOptions) {
    const one = around(shard, await payloadOf(value), value, options)
    const size = Buffer.byteLength(one.parts[1])
    core.weight.saw(size)
    return { ...one, encoded: names.encode(key), lease, size }
  }

  type Prepared = Awaited<ReturnType<typeof prepare>>

  /** All of one shard, in parts that Redis stores in time. No more is encoded than is about to be sent. */
  async function putShard(shard: Shard, puts: readonly Put[], options: PutOptions) {
    const sent: Promise<Issued>[] = []
    const send = async (part: readonly Prepared[]) => {
      sent.push(putPart(shard, part))
      if (sent.length >= mostUnderWay) await sent[sent.length - mostUnderWay]
    }
    for (let at = 0; at < puts.length; at += mostInOne) {
      let part: Prepared[] = []
      let bytes = 0
      const some = puts.slice(at, at + mostInOne)
      for (const one of await Promise.all(some.map((put) => prepare(shard, put, options)))) {
        if (part.length > 0 && bytes + one.size > mostBytesInOne) {
          await send(part)
          part = []
          bytes = 0
        }
        part.push(one)
        bytes += one.size
      }
      await send(part)
    }
    return Promise.all(sent)
  }

  async function putAll(puts: readonly Put[], options: PutOptions): Promise<Invalidation> {
    const byShard = new Map<Shard, Put[]>()
    for (const put of puts) {
      const shard = core.shardOf(names.encode(put.key))
      const list = byShard.get(shard)
      if (list) list.push(put)
      else byShard.set(shard, [put])
    }
    const issued = await Promise.all(
      [...byShard].map(async ([shard, list]) =>
        (await putShard(shard, list, options)).map((one) =>
          one.outcome === 'applied' ? { shard, ...one } : { shard },
        ),
      ),
    )
    return outcomeOf(issued.flat())
  }

  return {
    putAll,
    /**
     * Write-through: takes the key's lease, writes to the source, and stores what the write returned, unless somebody
     * else wrote or invalidated meanwhile. Rejects when the write does; the entry is removed in any case.
     */
    async update<V>(
      key: Key,
      write: () => Promise<V>,
      options: PutOptions,
    ): Promise<{ value: V; invalidation: Invalidation }> {
      const encoded = names.encode(key)
      const shard = core.shardOf(encoded)
      // So marked, nobody waits for it as for a load.
      const token = `>${space.nextToken()}`
      const ready = space.enabled && shard.available && shard.settled
      const [entryKey, leaseKey] = [core.entryKey(encoded, shard), core.leaseKey(encoded, shard)]
      const remote = core.remoteOf(shard)
      const taken = ready ? await remote.takeLease(entryKey, leaseKey, token) : undefined
      const renewal = taken && setInterval(() => remote.renew(leaseKey, token), renewEveryMs)
      const remove = () => invalidation.invalidate([{ entry: encoded, kind: names }])
      let value: V
      try {
        value = await write()
      } catch (cause) {
        // A connection that was lost at the commit leaves open whether it happened.
        await remove()
        throw cause
      } finally {
        if (renewal) clearInterval(renewal)
      }
      if (taken === undefined || (value === undefined && policy.absentMs === 0)) {
        return { value, invalidation: await remove() }
      }
      try {
        const [epoch, sequence] = taken
        const put = { key, value, lease: { token, epoch, sequence } }
        return { value, invalidation: await putAll([put], options) }
      } catch (cause) {
        // It has been written, though: so the old value must go.
        core.uncacheable(cause)
        return { value, invalidation: await remove() }
      }
    },
    /** Replaces the value when it is still `known` (undefined: when there is none). Rejects when Redis cannot tell. */
    async compareAndSet(key: Key, known: unknown, next: unknown): Promise<boolean> {
      const encoded = names.encode(key)
      const shard = core.shardOf(encoded)
      const { redis } = space
      const [old, payload] = await Promise.all([payloadOf(known), payloadOf(next)])
      const { parts, ttlMs } = around(shard, payload, next, {})
      const expected =
        known === undefined ? '-' : Buffer.concat([Buffer.from('='), Buffer.from(old.bytes)])
      const [entry = '', lease = ''] = keysOf([encoded], shard)
      let replaced = false
      const issued = await channel.announce(shard, {
        ...removal([encoded], shard),
        payload: payloadFor([encoded], shard),
        first: {
          script: compareScript,
          keys: [entry, lease, invalidation.generationsKey(shard), ...others([encoded], shard)],
          args: [expected, ...parts, Math.max(1, ttlMs), core.name, layout + old.codec],
        },
      })
      if (issued.outcome === 'applied') replaced = issued.reply[2] === 1
      space.local.remove(core, localKey(encoded))
      if (issued.outcome === 'deferred') {
        throw new Error(
          `compareAndSet of ${core.name} could not be decided: Redis ${redis.name} is away`,
        )
      }
      return replaced
    },
    /** Begins the entry's lifetime anew. Whether there was one. */
    async touch(key: Key): Promise<boolean> {
      const encoded = names.encode(key)
      const shard = core.shardOf(encoded)
      if (!shard.available || !shard.settled) return false
      // One that was invalidated lies there still, if it was by tag or generation.
      if ((await core.peek(key)).status === 'miss') return false
      const entryKey = core.entryKey(encoded, shard)
      const entry = decodeEntry(await core.remoteOf(shard).look(entryKey))
      if (!entry) return false
      const ages = {
        storedAtMs: Math.floor(shard.clock.nowMs()),
        softMs: entry.softMs,
        hardMs: entry.hardMs,
      }
      const [, tail] = encodeAround(ages, [], { codec: '-', bytes: '' })
      // Times only; the length of the tags stays.
      const args = [String(tail).slice(0, 33), entry.hardMs, headerOf(entry)]
      const touched = await space.redis.run(touchScript, { keys: [entryKey], args }).catch(() => 0)
      return touched === 1
    },
  }
}

export type Store = ReturnType<typeof createStore>
