import { connectRedis } from '@wattle/redis'
import { startCluster, type TestCluster } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dependency, fixedWindow, slidingCounter, slidingLog, tokenBucket } from '../src/index.ts'
import { openLimits, patient, type Process } from './support/open.ts'

const windowMs = 60_000
let cluster: TestCluster
let process: Process

beforeAll(async () => {
  cluster = await startCluster()
  process = openLimits(cluster.url, 'shards', patient)
  expect(await process.redis.whenReady(5_000)).toBe(true)
})
afterAll(async () => {
  await process.close()
  await cluster.stop()
})

describe('C24 L3 on a Redis Cluster', () => {
  test('a composed limit of any mix keeps its keys in one slot, and decides there', async () => {
    const limit = process.limits.define<string>('mixed', {
      levels: [
        { name: 'user', policy: slidingLog({ limit: 3, windowMs }), key: (user) => user },
        {
          name: 'address',
          policy: slidingCounter({ limit: 100, windowMs }),
          key: () => '192.0.2.1',
        },
        { name: 'endpoint', policy: tokenBucket({ limit: 100, windowMs }), key: () => 'pay' },
        { name: 'global', policy: fixedWindow({ limit: 5, windowMs }) },
      ],
    })
    const decisions = []
    for (const user of ['a', 'a', 'a', 'a', 'b', 'b', 'b']) decisions.push(await limit.take(user))
    expect(decisions.map(({ allowed, level }) => (allowed ? 'allowed' : level))).toEqual([
      'allowed',
      'allowed',
      'allowed',
      'user',
      'allowed',
      'allowed',
      'global',
    ])
    expect(new Set(decisions.map(({ decidedBy }) => decidedBy))).toEqual(new Set(['redis']))
  })

  test('limits of one level are spread over the nodes, also when asked all at once', async () => {
    const limit = process.limits.define<number>('spread', {
      policy: tokenBucket({ limit: 2, windowMs }),
      key: (n) => n,
    })
    const decisions = await Promise.all(Array.from({ length: 300 }, (_, n) => limit.take(n % 100)))
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(200)
    await using redis = connectRedis({ url: cluster.url, name: 'look' })
    expect(await redis.whenReady(5_000)).toBe(true)
    const topology = await redis.topology()
    if (topology.mode !== 'cluster') throw new Error('it is a cluster')
    for (const { keys } of topology.nodes) expect(keys).toBeGreaterThan(10)
  })

  test('limits that look at one another share a slot by their group', async () => {
    const supplier = process.limits.define('supplier', {
      policy: fixedWindow({ limit: 1, windowMs }),
      group: 'supply',
    })
    const buy = process.limits.define('buy', {
      policy: fixedWindow({ limit: 9, windowMs }),
      group: 'supply',
      dependsOn: [dependency(supplier, () => undefined)],
    })
    expect(await buy.take(undefined)).toMatchObject({ allowed: true, decidedBy: 'redis' })
    await supplier.take(undefined)
    expect(await buy.take(undefined)).toMatchObject({ allowed: false, level: 'supplier' })
    expect(await buy.reset(undefined, ['buy'])).toBe(true)
  })
})
