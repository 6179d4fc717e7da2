import { setTimeout as sleep } from 'node:timers/promises'
import { createCache, keepBudget } from '@wattle/cache'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually } from '@wattle/testkit'
import { quantile } from '../../harness/row.ts'
import { zipf } from '../../harness/references.ts'
import { createLru } from './lru.ts'

/** A service with a budget, in a process of its own: what it caches, who reads it, and an LRU that is asked for the same. */

export type ServiceSetting = {
  url: string
  service: string
  budgetBytes: number
  skew: number
  readsPerSecond: number
}
export type Service = Awaited<ReturnType<typeof open>>

/** Reads of one turn. */
const atOnce = 50
/** As many keys as this many budgets hold. */
const times = 4
const text = 'x'.repeat(2_000)
const meanLength = 1_000
/** From 300 to 1,700, the same for a key at any time. */
const lengthOf = (id: number) => 300 + ((id * 7_919) % 1_401)
const silent = { info() {}, warn() {}, error() {} }

export async function open({ url, service, budgetBytes, skew, readsPerSecond }: ServiceSetting) {
  const redis = connectRedis({ url, name: service })
  const keys = keySpace({ environment: 'bench', service })
  const cache = createCache({ redis, keys, log: silent })
  await eventually(() => {
    if (!cache.synchronized) throw new Error('the cache is not synchronized')
  })
  // Every read asks Redis, which so knows what is read.
  const kind = cache.kind<string>('row', { ttl: '2h', l1: false })
  const overheadBytes = await overhead()
  const distinct = Math.round((times * budgetBytes) / (meanLength + overheadBytes))
  const draw = zipf({ distinct, skew })
  const lru = createLru(budgetBytes, (id) => lengthOf(id) + overheadBytes)
  const keeper = keepBudget({ cache, bytes: budgetBytes })
  keeper.start()
  let loads = 0
  const load = (id: number) => {
    loads++
    return text.slice(0, lengthOf(id))
  }

  /** What an entry takes beyond its text: the mean of some. */
  async function overhead(): Promise<number> {
    const ids = Array.from({ length: 200 }, (_, at) => at * 37)
    await kind.setMany(ids.map((id) => [id, text.slice(0, lengthOf(id))] as const))
    const sizes = await Promise.all(
      ids.map((id) => redis.client.memory('USAGE', keys.key('row@1', id))),
    )
    const beyond = ids.map((id, at) => Number(sizes[at]) - lengthOf(id))
    await cache.invalidate([kind.all()])
    return beyond.reduce((sum, one) => sum + one, 0) / ids.length
  }

  /** So many different keys at once. How many of them the LRU had. */
  async function turn(): Promise<{ reads: number; lruHits: number }> {
    const ids = [...new Set(Array.from({ length: atOnce }, draw))]
    await Promise.all(ids.map((id) => kind.getOrSet(id, () => load(id))))
    return { reads: ids.length, lruHits: ids.filter((id) => lru(id)).length }
  }

  return {
    /** Reads as fast as it can until more was loaded than the budget holds. */
    async fill(): Promise<void> {
      const enough = loads + distinct / times
      while (loads < enough) await turn()
    },
    /** Reads at its pace for so long. */
    async read(ms: number): Promise<{ reads: number; hits: number; lruHits: number }> {
      const startedMs = performance.now()
      const seen = { reads: 0, hits: 0, lruHits: 0 }
      const before = loads
      for (let done = 0; performance.now() - startedMs < ms; done += atOnce) {
        const { reads, lruHits } = await turn()
        seen.reads += reads
        seen.lruHits += lruHits
        const aheadMs = (1_000 * done) / readsPerSecond - (performance.now() - startedMs)
        if (aheadMs > 1) await sleep(aheadMs)
      }
      return { ...seen, hits: seen.reads - (loads - before) }
    },
    removed: () => keeper.usage().removed,
    keep: async (on: boolean) => (on ? keeper.start() : keeper.stop()),
    /** Reads the most popular keys for so long, one after another: milliseconds of a read, and of the processor for one. */
    async hits(ms: number): Promise<{ medianUs: number; p99Us: number; cpuUs: number }> {
      const tookUs: number[] = []
      const cpu = process.cpuUsage()
      const startedMs = performance.now()
      for (let id = 0, nowMs = startedMs; nowMs - startedMs < ms; id = (id + 1) % 1_000) {
        await kind.getOrSet(id, () => load(id))
        const afterMs = performance.now()
        tookUs.push(1_000 * (afterMs - nowMs))
        nowMs = afterMs
      }
      const { user, system } = process.cpuUsage(cpu)
      const [medianUs, p99Us] = [quantile(tookUs, 0.5), quantile(tookUs, 0.99)]
      return { medianUs, p99Us, cpuUs: (user + system) / tookUs.length }
    },
    async close(): Promise<void> {
      await keeper.stop()
      cache.close()
      await redis.close()
    },
  }
}
