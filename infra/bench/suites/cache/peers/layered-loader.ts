import { Redis } from 'ioredis'
import {
  createGroupNotificationPair,
  createNotificationPair,
  GroupLoader,
  Loader,
  RedisCache,
  RedisGroupCache,
} from 'layered-loader'
import { ttlMs, type Open } from '../subject.ts'

/**
 * As its README shows: `lru-map` for string keys, JSON in Redis, notifications over Redis. It has groups in the place of
 * tags: an entry is in exactly one.
 */
export const layeredLoader: Open = async (setting) =>
  setting.tagged ? openGroup(setting) : openFlat(setting)

const openFlat: Open = async ({ url, prefix, tiers, maxEntries, load, pipelining }) => {
  const redis = new Redis(url, { enableAutoPipelining: pipelining })
  const loader = new Loader<unknown>({
    ...(tiers === 'l2'
      ? {}
      : { inMemoryCache: { cacheType: 'lru-map', ttlInMsecs: ttlMs, maxItems: maxEntries } }),
    ...(tiers === 'l1'
      ? {}
      : { asyncCache: new RedisCache<unknown>(redis, { prefix, json: true, ttlInMsecs: ttlMs }) }),
    ...(tiers === 'both'
      ? notifications(createNotificationPair<unknown>(channel(prefix, url)))
      : {}),
    logger: quiet,
    dataSourceGetOneFn: load,
    dataSourceGetManyFn: (keys) => Promise.all(keys.map(load)),
    cacheKeyFromValueResolver: (value) => (value as { id: string }).id,
  })
  await loader.init()
  return {
    get: (key) => loader.get(key),
    getMany: (keys) => loader.getMany(keys),
    invalidate: (key) => loader.invalidateCacheFor(key),
    close: async () => {
      await loader.close()
      redis.disconnect()
    },
  }
}

const openGroup: Open = async ({ url, prefix, tiers, maxEntries, load, pipelining }) => {
  const redis = new Redis(url, { enableAutoPipelining: pipelining })
  const memory = { ttlInMsecs: ttlMs, maxGroups: 100, maxItemsPerGroup: maxEntries }
  const loader = new GroupLoader<unknown>({
    ...(tiers === 'l2' ? {} : { inMemoryCache: { ...memory, cacheType: 'lru-map' as const } }),
    ...(tiers === 'l1'
      ? {}
      : { asyncCache: new RedisGroupCache(redis, { prefix, json: true, ttlInMsecs: ttlMs }) }),
    ...(tiers === 'both'
      ? notifications(createGroupNotificationPair<unknown>(channel(prefix, url)))
      : {}),
    logger: quiet,
    dataSources: [
      {
        name: 'source',
        getFromGroup: load,
        getManyFromGroup: (keys: string[]) => Promise.all(keys.map(load)),
      },
    ],
  })
  await loader.init()
  return {
    get: (key) => loader.get(key, 'all'),
    invalidate: (key) => loader.invalidateCacheFor(key, 'all'),
    invalidateTag: () => loader.invalidateCacheForGroup('all'),
    close: async () => {
      await loader.close()
      redis.disconnect()
    },
  }
}

/** It writes every error of a loader to the console, which is not what is measured. */
const quiet = { error() {} }

const channel = (prefix: string, url: string) => ({
  channel: `${prefix}-notifications`,
  publisherRedis: new Redis(url),
  consumerRedis: new Redis(url),
})

const notifications = <P, C>({ publisher, consumer }: { publisher: P; consumer: C }) => ({
  notificationPublisher: publisher,
  notificationConsumer: consumer,
})
