import { createCache } from 'async-cache-dedupe'
import { Redis } from 'ioredis'
import { ttlMs, type Open } from '../subject.ts'

/** As its README shows. It has one tier, memory or Redis; its references stand in the place of tags. */
export const asyncCacheDedupe: Open = async (setting) => {
  const { url, prefix, tiers, maxEntries, load, tagged, pipelining } = setting
  if (tiers === 'both') return undefined
  const client = new Redis(url, { enableAutoPipelining: pipelining })
  const references = tagged && { referencesTTL: ttlMs / 1000 }
  const cache = createCache({
    ttl: ttlMs / 1000,
    storage:
      tiers === 'l1'
        ? { type: 'memory', options: { size: maxEntries, invalidation: tagged } }
        : { type: 'redis', options: { client, invalidation: references } },
  }).define(prefix, tagged ? { references: () => ['all'] } : {}, load)
  const get = (cache as unknown as Record<string, (key: string) => Promise<unknown>>)[prefix]
  return (
    get && {
      get,
      invalidate: (key) => cache.clear(prefix, key),
      ...(tagged ? { invalidateTag: () => cache.invalidateAll('all') } : {}),
      close: () => client.quit(),
    }
  )
}
