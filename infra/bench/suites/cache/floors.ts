import { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'
import { ttlMs, type Open } from './subject.ts'

/** What no cache can do without: the lines that everybody else is compared with. */

/** lru-cache inside an async function. It keeps no TTL, so it does less than any cache here. */
export const lruCache: Open = async ({ maxEntries, load, tiers }) => {
  if (tiers === 'l2') return undefined
  const entries = new LRUCache<string, object>({ max: maxEntries })
  return {
    async get(key) {
      const hit = entries.get(key)
      if (hit !== undefined) return hit
      const value = (await load(key)) as object
      entries.set(key, value)
      return value
    },
    invalidate: async (key) => entries.delete(key),
    close: async () => entries.clear(),
  }
}

/** ioredis: GET and JSON.parse; when there is nothing, load and SET. */
export const ioredis: Open = async ({ url, load, tiers, pipelining }) => {
  if (tiers !== 'l2') return undefined
  const redis = new Redis(url, { enableAutoPipelining: pipelining })
  const get = async (key: string): Promise<unknown> => {
    const text = await redis.get(key)
    if (text !== null) return JSON.parse(text)
    const value = await load(key)
    await redis.set(key, JSON.stringify(value), 'PX', ttlMs)
    return value
  }
  return {
    get,
    getMany: (keys) => Promise.all(keys.map(get)),
    invalidate: (key) => redis.unlink(key),
    close: () => redis.quit(),
  }
}

/** The best that ioredis has for many keys. */
export const ioredisMget: Open = async (setting) => {
  const base = await ioredis(setting)
  const redis = new Redis(setting.url)
  return (
    base && {
      ...base,
      async getMany(keys) {
        const texts = await redis.mget(keys)
        return texts.map((text) => (text === null ? undefined : (JSON.parse(text) as unknown)))
      },
      close: () => Promise.all([base.close(), redis.quit()]),
    }
  )
}
