import { defineScript } from '@wattle/redis'
import { durationMs, type Duration } from './duration.ts'
import type { Key, KindName } from './kind-name.ts'
import { shardFor, type Space } from './space.ts'

const script = defineScript(new URL('./lua/increment.lua', import.meta.url))

/** Numbers that are counted in Redis, each for its TTL from its first change on. Not kept in processes. */
export type CounterKind = {
  /** Adds `by` (a whole number, default 1) and returns the sum; undefined when Redis cannot be reached. */
  increment(key: Key, by?: number): Promise<number | undefined>
  /** The sum; 0 where nothing was counted, undefined when Redis cannot be reached. */
  get(key: Key): Promise<number | undefined>
  delete(key: Key): Promise<void>
}

export function createCounter(space: Space, names: KindName, ttl: Duration): CounterKind {
  const ttlMs = durationMs(`ttl of ${names.name}`, ttl)
  const keyOf = (key: Key) => {
    const encoded = names.encode(key)
    const shard = shardFor(space.channel.shards, encoded)
    return { name: names.redisKey(encoded) + space.channel.suffixOf(shard), shard }
  }
  const numberOf = (text: unknown) => (typeof text === 'string' ? Number(text) : undefined)
  return {
    async increment(key, by = 1) {
      if (!Number.isSafeInteger(by)) throw new RangeError(`a counter adds whole numbers, not ${by}`)
      const { name, shard } = keyOf(key)
      if (!shard.available) return undefined
      const call = { keys: [name], args: [by, ttlMs] }
      return numberOf(await space.redis.run(script, call).catch(() => undefined))
    },
    async get(key) {
      const { name, shard } = keyOf(key)
      if (!shard.available) return undefined
      const text = await space.redis.client.get(name).catch(() => undefined)
      return text === null ? 0 : numberOf(text)
    },
    async delete(key) {
      await space.redis.client.unlink(keyOf(key).name).catch(() => 0)
    },
  }
}
