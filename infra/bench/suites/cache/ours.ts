import { setTimeout as delay } from 'node:timers/promises'
import { createCache, tag } from '@wattle/cache'
import { connectRedis, keySpace } from '@wattle/redis'
import type { Open, Setting, Subject } from './subject.ts'

/** Ours, as a service uses it. The only file here that knows its API. */

/** A kind with its loader in the plan. */
export const wattle: Open = (setting) => fromPlan(setting, false)

/** The same, strict: one script a read, and nothing from before a failover. */
export const wattleStrict: Open = (setting) => fromPlan(setting, true)

/** A kind whose loader comes with the call. */
export const wattleGetOrSet: Open = async (setting) => {
  const { tiers, tagged, load } = setting
  const { cache, ...common } = await openCache(setting)
  const kind = cache.kind('entry', { ttl: '10m', l1: tiers !== 'l2' })
  const options = tagged ? { tags: ['all'] } : undefined
  return {
    ...common,
    get: (key) => kind.getOrSet(key, () => load(key), options),
    invalidate: (key) => kind.delete(key),
  }
}

async function fromPlan(setting: Setting, strict: boolean): Promise<Subject> {
  const { tiers, tagged, load } = setting
  const { cache, ...common } = await openCache(setting)
  const { entry } = cache.define({
    entry: {
      key: (id: string) => [id],
      load,
      ttl: '10m',
      strict,
      l1: tiers !== 'l2',
      ...(tagged ? { tags: () => ['all'] } : {}),
    },
  })
  return {
    ...common,
    get: entry.get,
    isL1Hit: async (key) => (await entry.read(key)).tier === 'l1',
    getMany: (keys) => entry.getMany(keys.map((key) => [key])),
    invalidate: (key) => cache.invalidate([entry.ref(key)]),
  }
}

async function openCache({ url, prefix, maxEntries }: Setting) {
  const say = (fields: object, message: string) => console.error(message, fields)
  const log = { info() {}, warn: say, error: say }
  const redis = connectRedis({ url, name: 'cache', log })
  const keys = keySpace({ environment: 'bench', service: prefix })
  const l1 = { maxEntries, maxBytes: 2 ** 30 }
  const cache = (createCache as unknown as CreateCache)({ redis, keys, log, l1 })
  while (redis.state !== 'ready' || cache.synchronized === false) await delay(5)
  return {
    cache,
    invalidateTag: () => cache.invalidate([tag('all')]),
    close: async () => {
      await cache.close()
      await redis.close()
    },
  }
}

/** The part of the API that is measured, typed no closer than that, so that a benchmark can go back in history. */
type CreateCache = (options: object) => {
  readonly synchronized?: boolean
  define(plan: { entry: object }): {
    entry: {
      get(key: string): Promise<unknown>
      read(key: string): Promise<{ tier?: string }>
      getMany(keys: [string][]): Promise<unknown>
      ref(key: string): unknown
    }
  }
  kind(
    name: string,
    options: object,
  ): {
    getOrSet(key: string, load: () => Promise<unknown>, options?: object): Promise<unknown>
    delete(key: string): Promise<unknown>
  }
  invalidate(targets: unknown[]): Promise<unknown>
  close(): unknown
}
