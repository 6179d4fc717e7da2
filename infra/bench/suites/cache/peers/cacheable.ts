import KeyvRedis from '@keyv/redis'
import { RedisMessageProvider } from '@qified/redis'
import { Cacheable, createKeyv } from 'cacheable'
import { Keyv } from 'keyv'
import { ttlMs, type Open } from '../subject.ts'

/**
 * As its README shows, with CacheableMemory in front of KeyvRedis; `useClone: false`, which spares it a copy for each hit.
 * `getOrSet` takes no tags: with tags it is `get`, then `set`.
 */
export const cacheable: Open = async ({ url, prefix, tiers, maxEntries, load, tagged }) => {
  const memory = () => createKeyv({ ttl: ttlMs, lruSize: maxEntries, useClone: false })
  const redis = () => new Keyv({ store: new KeyvRedis(url), namespace: prefix })
  const cache = new Cacheable({
    ttl: ttlMs,
    tags: tagged,
    namespace: prefix,
    primary: tiers === 'l2' ? redis() : memory(),
    ...(tiers === 'both'
      ? {
          secondary: redis(),
          sync: { qified: new RedisMessageProvider({ uri: url }), namespace: prefix },
        }
      : {}),
  })
  cache.on('error', () => undefined)
  const withTag = async (key: string) => {
    const hit = await cache.get(key)
    if (hit !== undefined) return hit
    const value = await load(key)
    await cache.set(key, value, { ttl: ttlMs, tags: ['all'] })
    return value
  }
  return {
    get: tagged ? withTag : (key) => cache.getOrSet(key, () => load(key), { throwErrors: true }),
    getMany: (keys) => cache.getMany(keys),
    invalidate: (key) => cache.delete(key),
    invalidateTag: () => cache.tags.invalidateTag('all'),
    close: () => cache.disconnect(),
  }
}
