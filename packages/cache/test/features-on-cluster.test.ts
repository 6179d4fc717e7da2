import { connectRedis, keySpace } from '@wattle/redis'
import { eventually, startCluster } from '@wattle/testkit'
import { describe, expect, test } from 'vitest'
import {
  auditCache,
  createCache,
  createWarming,
  keepBudget,
  trackHotKeys,
  warm,
} from '../src/index.ts'

describe('C24 on a Redis Cluster', () => {
  test('jobs warm, hot keys are listed, the audit repairs, and the budget is kept over all masters', async () => {
    await using cluster = await startCluster()
    const redis = connectRedis({ url: cluster.url, name: 'features' })
    const keys = keySpace({ environment: 'test', service: 'features' })
    const failures: unknown[] = []
    const log = { info() {}, warn: (...all: unknown[]) => void failures.push(all), error() {} }
    const cache = createCache({ redis, keys, log })
    await eventually(() => expect(cache.synchronized).toBe(true), { withinMs: 15_000 })
    const source = new Map<string, string>()
    const { row } = cache.define({
      row: {
        load: async (id: string) => source.get(id) ?? 'x'.repeat(1_000),
        key: (id) => [id],
        ttl: '1h',
        l1: false,
      },
    })
    const hot = trackHotKeys({ cache, sampleEvery: 1 })
    const audit = auditCache({ cache, sampleEvery: 1, rate: 10_000, wait: async () => {} })
    const ids = Array.from({ length: 300 }, (_, at) => `id${at}`)
    const find = () => ids.map((id) => warm(row, id))
    const warming = createWarming({ cache, jobs: [{ name: 'rows', find }] })
    // What was stored after it was given up is there when it is tried again.
    const run = await warming.run('rows')
    expect(run).toMatchObject({ state: 'done', found: 300, skipped: 0, failed: 0 })

    for (let time = 0; time < 5; time++) expect((await row.read('id7')).tier).toBe('l2')
    await hot.push()
    expect((await hot.top('reads')).keys).toMatchObject([{ key: 'id7', share: 1 }])

    source.set('id7', 'changed')
    expect(await audit.run()).toMatchObject({ checked: 1, inconsistent: 1 })
    expect(await row.get('id7')).toBe('changed')

    const budget = keepBudget({ cache, bytes: 150_000 })
    await eventually(async () => {
      expect(await budget.run()).toMatchObject({ budgetBytes: 150_000 })
      expect(budget.usage().removed).toBeGreaterThan(0)
      expect(budget.usage().bytes).toBeLessThan(150_000)
    })
    expect(failures).toEqual([])
    await Promise.all([hot.stop(), audit.stop(), warming.close()])
    cache.close()
    await redis.close()
  })
})
