import { setTimeout as pace } from 'node:timers/promises'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually, randomFrom, startRedis } from '@wattle/testkit'
import type { Redis } from 'ioredis'
import { describe, expect, test as plain } from 'vitest'
import { checkBudgets, createCache, keepBudget, type Cache } from '../src/index.ts'
import { nothingGoes, thresholdFor } from '../src/budget-pass.ts'
import { test } from './setup.ts'

const kilobyte = 1_024
const payload = 'x'.repeat(kilobyte)

const rows = (cache: Cache) =>
  cache.define({
    row: {
      load: async (id: number) => `${id}${payload}`,
      key: (id) => [id],
      ttl: '1h',
      l1: false,
    },
  }).row

/** What Redis says that the keys take, each by itself. */
async function summedUsage(raw: Redis, prefix: string): Promise<number> {
  const keys = await raw.keys(`${prefix}*`)
  const sizes = await Promise.all(keys.map((key) => raw.memory('USAGE', key)))
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
}

async function fill(row: ReturnType<typeof rows>, from: number, to: number) {
  for (let at = from; at < to; at += 100) {
    const some = Array.from({ length: Math.min(100, to - at) }, (_, more) => row.get(at + more))
    await Promise.all(some)
  }
}

describe('C20 budget', () => {
  test('what a namespace takes is known within a tenth', async ({ open }) => {
    const { cache, raw, keys } = await open()
    const budget = keepBudget({ cache, bytes: 100_000_000 })
    await fill(rows(cache), 0, 2_000)
    await eventually(async () => {
      const usage = await budget.run()
      const real = await summedUsage(raw, keys.prefix)
      expect(real).toBeGreaterThan(1_000 * kilobyte)
      expect(Math.abs((usage?.bytes ?? 0) - real)).toBeLessThan(real / 10)
    })
    expect(budget.usage().removed).toBe(0)
  })

  test('also where a few values take most of it', async ({ open }) => {
    const { cache, raw, keys } = await open()
    const kind = cache.kind<string>('file', { ttl: '1h', l1: false, compressAbove: 1_000_000 })
    const sizes = Array.from({ length: 1_000 }, (_, at) => (at % 100 === 0 ? 200_000 : 300))
    for (const [at, size] of sizes.entries()) await kind.set(at, 'x'.repeat(size))
    const budget = keepBudget({ cache, bytes: 100_000_000 })
    await eventually(async () => {
      const usage = await budget.run()
      const real = await summedUsage(raw, keys.prefix)
      expect(real).toBeGreaterThan(2_000_000)
      expect(Math.abs((usage?.bytes ?? 0) - real)).toBeLessThan(real / 100)
    })
  })

  test('four namespaces under load stay within a tenth of their budgets, and take nothing from a neighbour that keeps to its own', async ({
    server,
  }) => {
    const opened = ['a', 'b', 'c', 'd', 'quiet'].map((name) => {
      const service = `budget-${name}`
      const redis = connectRedis({ url: server.url, name: service })
      const keys = keySpace({ environment: 'test', service })
      const log = { info() {}, warn() {}, error() {} }
      const cache = createCache({ redis, keys, log })
      return { redis, keys, cache, row: rows(cache) }
    })
    const raw = server.client()
    await eventually(() => expect(opened.every(({ cache }) => cache.synchronized)).toBe(true))
    const [quiet] = opened.splice(4)
    await fill(quiet!.row, 0, 500)
    const entries = async () => (await raw.keys('test:budget-quiet:row@1:*')).length
    await eventually(async () => expect(await entries()).toBe(500))

    const sizes = [1_200_000, 800_000, 500_000, 300_000]
    const random = randomFrom(1)
    let loading = true
    const loads = opened.map(async ({ row }) => {
      // More distinct rows than any of the budgets holds, the low ones far more often.
      while (loading) {
        await row.get(Math.floor(20_000 ** random.next()))
        // Not faster on a faster machine: what comes in during a walk has to be a small part of a budget.
        await pace(3)
      }
    })
    const budgets = [
      ...opened.map(({ cache }, at) => keepBudget({ cache, bytes: sizes[at]!, passMs: 400 })),
      keepBudget({ cache: quiet!.cache, bytes: 4_000_000, passMs: 400 }),
    ]
    await Promise.all(opened.map(({ row }, at) => fill(row, 20_000, 20_000 + sizes[at]! / 1_000)))
    for (const budget of budgets) budget.start()
    try {
      await eventually(
        async () => {
          for (const [at, { keys }] of opened.entries()) {
            const used = (await summedUsage(raw, keys.prefix)) / sizes[at]!
            expect(budgets[at]?.usage().removed, keys.service).toBeGreaterThan(0)
            expect(used, keys.service).toBeGreaterThan(0.9)
            expect(used, keys.service).toBeLessThan(1.1)
          }
        },
        { withinMs: 15_000, everyMs: 100 },
      )
    } finally {
      loading = false
      await Promise.all([...loads, ...budgets.map((budget) => budget.stop())])
    }
    expect(await entries()).toBe(500)
    await Promise.all([...opened, quiet!].map(({ cache, redis }) => (cache.close(), redis.close())))
  })

  test('the coldest go: what was read often stays', async ({ open }) => {
    const { cache, raw, keys } = await open()
    const row = rows(cache)
    await fill(row, 0, 1_000)
    for (let time = 0; time < 200; time++) await fill(row, 0, 50)
    const budget = keepBudget({ cache, bytes: 500_000 })
    await eventually(async () => {
      await budget.run()
      expect(await summedUsage(raw, keys.prefix)).toBeLessThan(500_000)
    })
    const left = new Set(await raw.keys(`${keys.prefix}row@1:*`))
    for (let id = 0; id < 50; id++) expect(left).toContain(keys.key('row', id))
    expect(left.size).toBeGreaterThan(300)
  })

  test('only entries go: tags, generations, duties, counters and leases stay', async ({ open }) => {
    const { cache, raw, keys } = await open()
    const row = rows(cache)
    await cache.invalidate([row.all()])
    await cache.counter('hits', { ttl: '1h' }).increment('x')
    await fill(row, 0, 100)
    const lease = `${keys.key('row', 1)}:~lease`
    await raw.set(lease, 'x', 'PX', 60_000)
    const others = async () =>
      (await raw.keys(`${keys.prefix}*`)).filter((key) => !/row@1:~\d+$/.test(key)).toSorted()
    const budget = keepBudget({ cache, bytes: 1 })
    await budget.run()
    const there = await others()
    await eventually(async () => {
      await budget.run()
      expect(await raw.keys(`${keys.prefix}row@1:*`)).toEqual([lease])
    })
    expect(await others()).toEqual(there)
  })

  test('one process of a fleet looks after the budget, and shows it', async ({ open }) => {
    const [a, b] = [await open(), await open()]
    const [first, second] = [a, b].map(({ cache }) => keepBudget({ cache, bytes: 1_000_000 }))
    await fill(rows(a.cache), 0, 10)
    expect(await first!.run()).toMatchObject({ budgetBytes: 1_000_000 })
    expect(await second!.run()).toBeUndefined()
    const [here, there] = [await a.registry.metrics(), await b.registry.metrics()]
    expect(here).toMatch(/wattle_cache_bytes\{[^}]*tier="l2"\} [1-9]/)
    expect(here).toMatch(/wattle_cache_entries\{[^}]*tier="l2"\} [1-9]/)
    expect(there).not.toMatch(/wattle_cache_bytes\{[^}]*tier="l2"\}/)
    expect(there).toMatch(/wattle_cache_budget_bytes\{[^}]*\} 1000000/)
  })

  test('what has to go is taken from the coldest up, and from the last level its share', () => {
    const byLevel = Float64Array.from([100, 0, 200, 400])
    expect(thresholdFor(byLevel, 0)).toEqual(nothingGoes)
    expect(thresholdFor(byLevel, 50)).toEqual({ level: 0, share: 0.5 })
    expect(thresholdFor(byLevel, 200)).toEqual({ level: 2, share: 0.5 })
    expect(thresholdFor(byLevel, 10_000)).toEqual({ level: 3, share: 1 })
  })

  test('a server that is too small for the budgets is told of in one sentence', async ({
    open,
  }) => {
    const { cache } = await open()
    // The server of the tests has 256 MiB.
    expect(await checkBudgets({ cache, budgets: { a: 100 * 2 ** 20, b: 100 * 2 ** 20 } })).toEqual(
      [],
    )
    const [sentence, ...more] = await checkBudgets({
      cache,
      budgets: { a: 128 * 2 ** 20, b: 100 * 2 ** 20 },
    })
    expect(more).toEqual([])
    expect(sentence).toMatch(/maxmemory of Redis \S+ is 268435456 bytes, less than 1.25 times/)
  })
})

describe('C20 budget: rights and servers', () => {
  plain('a service may do all of it with its own Redis user', async () => {
    await using server = await startRedis({ acl: true })
    const redis = connectRedis({ url: server.urlFor('billing'), name: 'billing' })
    const warnings: unknown[] = []
    const log = { info() {}, warn: (...all: unknown[]) => void warnings.push(all), error() {} }
    const keys = keySpace({ environment: 'test', service: 'billing' })
    const cache = createCache({ redis, keys, log })
    await eventually(() => expect(cache.synchronized).toBe(true))
    await fill(rows(cache), 0, 200)
    const budget = keepBudget({ cache, bytes: 50_000 })
    await eventually(async () => {
      await budget.run()
      expect(budget.usage().removed).toBeGreaterThan(0)
    })
    expect(await checkBudgets({ cache, budgets: { billing: 50_000 } })).toEqual([])
    expect(warnings).toEqual([])
    cache.close()
    await redis.close()
  })

  plain('a server that counts no uses goes by the time since the last one', async () => {
    await using server = await startRedis()
    await server.client().config('SET', 'maxmemory-policy', 'noeviction')
    const redis = connectRedis({ url: server.url, name: 'idle' })
    const log = { info() {}, warn() {}, error() {} }
    const keys = keySpace({ environment: 'test', service: 'idle' })
    const cache = createCache({ redis, keys, log })
    await eventually(() => expect(cache.synchronized).toBe(true))
    const row = rows(cache)
    await fill(row, 0, 100)
    const raw = server.client()
    await eventually(async () => {
      await row.get(7)
      expect(Number(await raw.object('IDLETIME', keys.key('row', 8)))).toBeGreaterThan(1)
    })
    await row.get(7)
    const budget = keepBudget({ cache, bytes: 20_000 })
    await eventually(async () => {
      await budget.run()
      expect((await raw.keys(`${keys.prefix}row@1:*`)).length).toBeLessThan(20)
    })
    expect(await raw.exists(keys.key('row', 7))).toBe(1)
    cache.close()
    await redis.close()
  })
})
