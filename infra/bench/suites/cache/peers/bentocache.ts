import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis'
import { Redis } from 'ioredis'
import { ttlMs, type Open, type Setting } from '../subject.ts'

/** With its defaults: L1 holds serialized text, which protects callers from one another. */
export const bentocache: Open = (setting) => open(setting, true)

/** With `serialize: false`, which its documentation recommends for speed: L1 holds the objects. */
export const bentocacheObjects: Open = (setting) => open(setting, false)

async function open(
  { url, prefix, tiers, maxEntries, load, tagged, pipelining }: Setting,
  serialize: boolean,
) {
  const connection = new Redis(url, { enableAutoPipelining: pipelining })
  const { hostname: host, port } = new URL(url)
  const store = bentostore({ ttl: ttlMs })
  if (tiers !== 'l2') store.useL1Layer(memoryDriver({ maxItems: maxEntries, serialize }))
  if (tiers !== 'l1') store.useL2Layer(redisDriver({ connection }))
  if (tiers === 'both') store.useBus(redisBusDriver({ connection: { host, port: Number(port) } }))
  const cache = new BentoCache({ default: 'bench', prefix, stores: { bench: store } })
  const tags = ['all']
  return {
    get: tagged
      ? (key: string) => cache.getOrSet({ key, factory: () => load(key), tags })
      : (key: string) => cache.getOrSet({ key, factory: () => load(key) }),
    invalidate: (key: string) => cache.delete({ key }),
    invalidateTag: () => cache.deleteByTag({ tags }),
    close: () => cache.disconnectAll(),
  }
}
