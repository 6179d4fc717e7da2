import { createCache, keepBudget } from '@wattle/cache'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually, startRedis } from '@wattle/testkit'
import { zipf } from '../../harness/references.ts'
import type { Row } from '../../harness/row.ts'
import { isWanted, type SuiteOptions } from '../../harness/suite.ts'
import { createLru } from './lru.ts'

/**
 * The hit ratio of a namespace that keeps to its budget by removing its coldest entries, beside that of an LRU with room
 * for as many, asked for the same keys: by Zipf's law, four times as many keys as fit. The walks of the budget come after
 * every thousand reads, so that the figures do not depend on how fast the machine is.
 */

const budgetBytes = 4_000_000
const payload = 'x'.repeat(1_000)
const ttlMs = 3_600_000
const [measuredRounds, chunks, perChunk] = [40, 20, 50]
const log = { info() {}, warn() {}, error() {} }

/** Rows of a report: hit ratios and usage for three degrees of skew. */
export async function choice(options: SuiteOptions): Promise<Row[]> {
  await using server = await startRedis({ maxMemory: '1gb' })
  const raw = server.client()

  async function play(skew: number, at: number): Promise<Row[]> {
    if (!isWanted(options, `Zipf ${skew}`)) return []
    options.say(`Zipf ${skew}`)
    const service = `budget${at}`
    const redis = connectRedis({ url: server.url, name: service })
    const keys = keySpace({ environment: 'bench', service })
    const cache = createCache({ redis, keys, log })
    cache.kind('row', { ttl: '1h' })
    await eventually(() => {
      if (!cache.synchronized) throw new Error('the cache is not synchronized')
    })
    const keyOf = (id: number) => keys.key('row', id)
    await raw.set(keyOf(0), payload, 'PX', ttlMs)
    const capacity = Math.floor(budgetBytes / Number(await raw.memory('USAGE', keyOf(0))))
    const draw = zipf({ distinct: capacity * 4, skew })
    const lru = createLru(capacity, () => 1)
    const keeper = keepBudget({ cache, bytes: budgetBytes })
    const seen = { reads: 0, hits: 0, lruHits: 0, least: Infinity, most: 0 }

    for (let round = 0; round < 2 * measuredRounds; round++) {
      const counts = round >= measuredRounds
      for (let chunk = 0; chunk < chunks; chunk++) {
        const ids = [...new Set(Array.from({ length: perChunk }, draw))]
        const values = await raw.mget(ids.map(keyOf))
        const fills = raw.pipeline()
        for (const [index, id] of ids.entries()) {
          const isHit = values[index] !== null
          const lruHit = lru(id)
          if (!isHit) fills.set(keyOf(id), payload, 'PX', ttlMs)
          if (!counts) continue
          seen.reads++
          seen.hits += Number(isHit)
          seen.lruHits += Number(lruHit)
        }
        await fills.exec()
      }
      const usage = await keeper.run()
      if (!usage) throw new Error('the budget was not looked after')
      if (!counts) continue
      seen.least = Math.min(seen.least, usage.bytes / budgetBytes)
      seen.most = Math.max(seen.most, usage.bytes / budgetBytes)
    }
    await keeper.stop()
    cache.close()
    await redis.close()
    const group = `Zipf ${skew}, ${seen.reads} reads`
    const row = (variant: string, ours: boolean, low: number, high: number) => {
      const value = (low + high) / 2
      return { group, variant, ours, unit: '%', value, spread: [low, high] as const }
    }
    const ratio = (hits: number) => (100 * hits) / seen.reads
    return [
      row('hits within the budget', true, ratio(seen.hits), ratio(seen.hits)),
      row('hits of an LRU', false, ratio(seen.lruHits), ratio(seen.lruHits)),
      row('usage of the budget after a walk', true, 100 * seen.least, 100 * seen.most),
    ]
  }

  const rows: Row[] = []
  for (const [at, skew] of [0.7, 0.9, 1.1].entries()) rows.push(...(await play(skew, at)))
  return rows
}
