import { personal } from '@wattle/redis'
import { eventually, randomFrom } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { createWarming, trackHotKeys, warm, type Cache } from '../src/index.ts'
import { SpaceSaving } from '../src/space-saving.ts'
import { test } from './setup.ts'

/** Draws ranks from 1 to `count`, of Zipf's law with exponent 1. */
function zipf(count: number, seed: number) {
  const random = randomFrom(seed)
  const sums: number[] = []
  let sum = 0
  for (let rank = 1; rank <= count; rank++) sums.push((sum += 1 / rank))
  return () => {
    const draw = random.next() * sum
    let [low, high] = [0, count - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? 0) < draw) low = middle + 1
      else high = middle
    }
    return low + 1
  }
}

const things = (cache: Cache) =>
  cache.define({
    thing: { load: async (id: string) => id, key: (id) => [id], ttl: '1h' },
  }).thing

describe('C17 hot keys: the summary', () => {
  test.for([1, 2, 3])(
    'no count is further off than n ∕ m, and whatever has more is there, on Zipf, seed %i',
    (seed) => {
      const [capacity, draws] = [100, 100_000]
      const summary = new SpaceSaving(capacity)
      const truth = new Map<string, number>()
      const draw = zipf(10_000, seed)
      for (let at = 0; at < draws; at++) {
        const key = `${draw()}`
        truth.set(key, (truth.get(key) ?? 0) + 1)
        summary.add(key, 1)
      }
      const bound = draws / capacity
      expect(summary.size).toBe(capacity)
      expect(summary.errorAtMost).toBeLessThanOrEqual(bound)
      for (const { key, count, error } of summary.top()) {
        const real = truth.get(key) ?? 0
        expect(count).toBeGreaterThanOrEqual(real)
        expect(count - error).toBeLessThanOrEqual(real)
        expect(count).toBeLessThanOrEqual(real + bound)
      }
      for (const [key, real] of truth) if (real > bound) expect(summary.get(key)).toBeDefined()
    },
  )
})

describe('C17 hot keys', () => {
  test('the list of a fleet is within its bound of the truth, on Zipf', async ({ open }) => {
    const fleet = [await open(), await open()]
    const truth = new Map<string, number>()
    const draw = zipf(2_000, 7)
    const size = 200
    const trackers = fleet.map(({ cache }) => ({
      thing: things(cache),
      tracker: trackHotKeys({ cache, size, sampleEvery: 1, halfLife: '7d' }),
    }))
    let reads = 0
    for (let push = 0; push < 3; push++) {
      for (const { thing, tracker } of trackers) {
        for (let at = 0; at < 1_500; at++) {
          const key = `k${draw()}`
          truth.set(key, (truth.get(key) ?? 0) + 1)
          reads++
          await thing.get(key)
        }
        await tracker.push()
      }
    }
    const { keys, total, errorAtMost } = await trackers[0]!.tracker.top('reads', size)
    expect(total).toBeCloseTo(reads, -2)
    expect(errorAtMost).toBeCloseTo((2 * reads) / size, 0)
    const listed = new Map(keys.map(({ key, count }) => [key, count]))
    for (const [key, count] of listed)
      expect(Math.abs(count - (truth.get(key) ?? 0))).toBeLessThanOrEqual(errorAtMost)
    for (const [key, real] of truth) if (real > errorAtMost) expect(listed.has(key)).toBe(true)
    expect(keys[0]).toMatchObject({ kind: 'thing@1', key: 'k1' })
  })

  test('sampling leaves the counts as they are, on average', async ({ open }) => {
    const random = randomFrom(5)
    const { cache } = await open({ random: random.next })
    const thing = things(cache)
    const tracker = trackHotKeys({ cache, sampleEvery: 16, halfLife: '7d' })
    await thing.get('a')
    for (let at = 1; at < 32_000; at++) await thing.get(at % 4 === 0 ? 'b' : 'a')
    await tracker.push()
    const { keys, total } = await tracker.top('reads')
    // 2,000 samples: the total has a standard deviation of 1.3 %, the share one of 1 %.
    expect(total).toBeGreaterThan(29_000)
    expect(total).toBeLessThan(35_000)
    expect(keys[0]?.share).toBeGreaterThan(0.65)
    expect(keys[0]?.share).toBeLessThan(0.85)
  })

  test('misses are counted each, for every caller that waited', async ({ open }) => {
    const { cache } = await open()
    const thing = things(cache)
    const tracker = trackHotKeys({ cache, halfLife: '7d' })
    for (let time = 0; time < 3; time++) {
      await Promise.all([thing.get('cold'), thing.get('cold')])
      await cache.invalidate([thing.ref('cold')])
    }
    await thing.get('once')
    await tracker.push()
    const { keys } = await tracker.top('misses')
    expect(keys.map(({ key, count }) => [key, Math.round(count)])).toEqual([
      ['cold', 6],
      ['once', 1],
    ])
  })

  test('a count fades to half in each half-life', async ({ open }) => {
    const { cache } = await open()
    const thing = things(cache)
    const tracker = trackHotKeys({ cache, sampleEvery: 1, halfLife: '200ms' })
    for (let at = 0; at < 1_000; at++) await thing.get('a')
    await tracker.push()
    await eventually(async () => {
      await thing.get('b')
      await tracker.push()
      const { keys, total } = await tracker.top('reads')
      const count = keys.find(({ key }) => key === 'a')?.count ?? 0
      expect(count).toBeLessThan(300)
      expect(total).toBeLessThan(400)
    })
  })

  test('a name that is personal is not readable, and its arguments are not kept', async ({
    open,
  }) => {
    const { cache, raw } = await open()
    const plan = cache.define({
      byEmail: {
        load: async (email: string) => email,
        key: (email) => [personal(email)],
        ttl: '1h',
      },
      plain: {
        load: async (id: string, email: string) => id + email,
        key: (id) => [id],
        ttl: '1h',
      },
    })
    const tracker = trackHotKeys({ cache, sampleEvery: 1 })
    await plan.byEmail.get('ada@example.com')
    await plan.plain.get('usr_1', 'ada@example.com')
    await tracker.push()
    expect((await tracker.top('reads')).keys).toHaveLength(2)
    expect(await tracker.predict()).toEqual([])
    for (const key of await raw.keys('*hot@1*about*'))
      expect(JSON.stringify(await raw.hgetall(key))).not.toContain('ada')
  })

  test('what is read after a hot key is fetched before it is asked for', async ({ open }) => {
    const { cache } = await open()
    const loaded: string[] = []
    const plan = cache.define({
      profile: { load: async (id: string) => id, key: (id) => [id], ttl: '1h' },
      bills: { load: async (id: string) => (loaded.push(id), id), key: (id) => [id], ttl: '1h' },
    })
    const tracker = trackHotKeys({
      cache,
      sampleEvery: 1,
      hottest: 1,
      related: { profile: (id: string) => [warm(plan.bills, id)] },
    })
    for (let at = 0; at < 10; at++) await plan.profile.get('hot')
    await plan.profile.get('cold')
    await tracker.push()
    expect(loaded).toEqual([])
    await plan.profile.get('cold')
    await plan.profile.get('hot')
    await eventually(async () => expect((await plan.bills.read('hot')).tier).toBe('l2'))
    expect(loaded).toEqual(['hot'])
  })

  test('a rule that throws does no harm to the read that it follows', async ({ open }) => {
    const { cache } = await open()
    const thing = things(cache)
    const rule = () => {
      throw new Error('a mistake in the rule')
    }
    const tracker = trackHotKeys({ cache, sampleEvery: 1, related: { thing: rule } })
    for (let time = 0; time < 6; time++) {
      await thing.get('hot')
      await tracker.push()
      expect(await thing.get('hot')).toBe('hot')
      await cache.invalidate([thing.ref('hot')])
      expect(await thing.get('hot')).toBe('hot')
    }
    await tracker.stop()
  })
})

describe('W4 predictive warming', () => {
  test('after a restart the most read and the most missed are warmed first', async ({ open }) => {
    const before = await open()
    const thing = things(before.cache)
    const tracker = trackHotKeys({ cache: before.cache, sampleEvery: 1 })
    for (let at = 0; at < 50; at++) await thing.get('read')
    for (let at = 0; at < 20; at++) {
      await thing.get('missed')
      await before.cache.invalidate([thing.ref('missed')])
    }
    for (let at = 0; at < 5; at++) await thing.get(`rare${at}`)
    await tracker.stop()
    await before.cache.invalidate([thing.all()])

    const { cache } = await open()
    const again = things(cache)
    const hot = trackHotKeys({ cache, sampleEvery: 1 })
    const warming = createWarming({
      cache,
      jobs: [{ name: 'predicted', priority: 'high', find: () => hot.predict(2) }],
    })
    expect(await warming.run('predicted')).toMatchObject({ found: 2, warmed: 2 })
    expect((await again.read('read')).tier).toBe('l2')
    expect((await again.read('missed')).tier).toBe('l2')
    expect((await again.read('rare0')).tier).toBe('source')
    await Promise.all([hot.stop(), warming.close()])
  })

  test('when Redis evicts a part of the list, no share is more than the whole', async ({
    open,
  }) => {
    const { cache, raw, keys } = await open()
    const thing = things(cache)
    const hot = trackHotKeys({ cache, sampleEvery: 1 })
    for (let at = 0; at < 100; at++) await thing.get('a')
    await hot.push()
    for (const part of [keys.key('hot', 'reads', 'about'), keys.key('hot', 'reads')]) {
      await raw.del(part)
      for (let at = 0; at < 10; at++) await thing.get('b')
      await hot.push()
      const { keys: listed, total } = await hot.top('reads')
      expect(listed).toEqual([{ kind: 'thing@1', key: 'b', count: 10, share: 1 }])
      expect(total).toBe(10)
    }
    await hot.stop()
  })

  test('while Redis is away a process shows what it has counted itself', async ({ openAt }) => {
    const { cache } = openAt('redis://127.0.0.1:1')
    const thing = things(cache)
    const tracker = trackHotKeys({ cache, sampleEvery: 1 })
    await thing.get('a')
    expect((await tracker.top('reads')).keys).toMatchObject([
      { kind: 'thing@1', key: 'a', share: 1 },
    ])
    await tracker.stop()
  })
})
