import KeyvRedis from '@keyv/redis'
import { createCache } from 'cache-manager'
import { CacheableMemory } from 'cacheable'
import { Keyv } from 'keyv'
import { ttlMs, type Open } from '../subject.ts'

/** As its README shows: CacheableMemory, then KeyvRedis, and `wrap`. It has no tags, and no word between processes. */
export const cacheManager: Open = async ({ url, prefix, tiers, maxEntries, load, tagged }) => {
  if (tagged) return undefined
  const memory = () =>
    new Keyv({ store: new CacheableMemory({ ttl: ttlMs, lruSize: maxEntries }), namespace: prefix })
  const redis = () => new Keyv({ store: new KeyvRedis(url), namespace: prefix })
  const cache = createCache({
    ttl: ttlMs,
    stores: [...(tiers === 'l2' ? [] : [memory()]), ...(tiers === 'l1' ? [] : [redis()])],
  })
  return {
    get: (key) => cache.wrap(key, () => load(key)),
    getMany: (keys) => cache.mget(keys),
    invalidate: (key) => cache.del(key),
    close: () => cache.disconnect(),
  }
}
