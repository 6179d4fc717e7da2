import { createCache, DefaultStatefulContext, Namespace } from '@unkey/cache'
import { MemoryStore, type Store } from '@unkey/cache/stores'
import { Ok } from '@unkey/error'
import { Redis } from 'ioredis'
import { ttlMs, type Open } from '../subject.ts'

/**
 * As its README shows, with a store on ioredis: its own Redis store speaks HTTP. It has no tags, no bound that does not
 * sort the whole map, and no word between processes.
 */
export const unkeyCache: Open = async ({ url, prefix, tiers, load, tagged, pipelining }) => {
  if (tagged) return undefined
  const redis = new Redis(url, { enableAutoPipelining: pipelining })
  const memory = new MemoryStore<string, unknown>({ persistentMap: new Map() })
  const entries = new Namespace<unknown>(new DefaultStatefulContext(), {
    stores: [...(tiers === 'l2' ? [] : [memory]), ...(tiers === 'l1' ? [] : [redisStore(redis)])],
    fresh: ttlMs,
    stale: ttlMs,
  })
  const cache = createCache({ [prefix]: entries })[prefix]
  return (
    cache && {
      get: (key) => cache.swr(key, load),
      unwrap: (result) => (result as { val: unknown }).val,
      invalidate: (key) => cache.remove(key),
      close: () => redis.quit(),
    }
  )
}

const redisStore = (redis: Redis): Store<string, unknown> => ({
  name: 'ioredis',
  async get(namespace, key) {
    const text = await redis.get(`${namespace}:${key}`)
    return Ok(text === null ? undefined : JSON.parse(text))
  },
  async set(namespace, key, entry) {
    await redis.set(`${namespace}:${key}`, JSON.stringify(entry), 'PXAT', entry.staleUntil)
    return Ok()
  },
  async remove(namespace, keys) {
    await redis.unlink([keys].flat().map((key) => `${namespace}:${key}`))
    return Ok()
  },
})
