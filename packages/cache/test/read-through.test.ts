import { personal } from '@wattle/redis'
import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { tag } from '../src/index.ts'
import { held, test } from './setup.ts'

describe('C3 cache-aside', () => {
  test('the loader runs once, then the value comes from Redis, as it went in', async ({ open }) => {
    const { cache } = await open()
    let loads = 0
    const value = { a: [1, 0, '', false, null], b: { c: 'ŋ|,:' } }
    const plan = cache.define({
      thing: { load: async (_id: string) => (loads++, value), key: (id) => [id], ttl: '1m' },
    })

    expect(await plan.thing.read('x')).toMatchObject({ value, status: 'miss' })
    const second = await eventually(async () => {
      const read = await plan.thing.read('x')
      expect(read).toMatchObject({ value, status: 'hit' })
      return read
    })
    expect(second.ttlMs).toBeGreaterThan(0)
    expect(second.ttlMs).toBeLessThanOrEqual(60_000)
    const before = loads
    await plan.thing.get('x')
    expect(loads).toBe(before)
  })

  test.for([null, 0, '', false])('%o is a value, not an absence', async (value, { open }) => {
    const { cache } = await open()
    const plan = cache.define({
      thing: { load: async (_id: string) => value, key: (id) => [id], ttl: '1m' },
    })
    await plan.thing.get('x')
    expect(await plan.thing.read('x')).toMatchObject({ value, status: 'hit' })
  })

  test('absence is not cached', async ({ open }) => {
    const { cache } = await open()
    const plan = cache.define({
      thing: { load: async (_id: string) => undefined, key: (id) => [id], ttl: '1m' },
    })
    await plan.thing.get('x')
    expect(await plan.thing.read('x')).toMatchObject({ value: undefined, status: 'miss' })
  })

  test('a loader that fails reaches every waiting caller, is called once, and is not cached', async ({
    open,
  }) => {
    const { cache } = await open()
    const load = held<string>()
    const plan = cache.define({ thing: { load: load.call, key: (id: string) => [id], ttl: '1m' } })

    const callers = Array.from({ length: 100 }, () => plan.thing.get('x'))
    ;(await load.next()).reject(new Error('the source is away'))
    const outcomes = await Promise.allSettled(callers)
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true)
    expect(load.calls).toBe(1)

    const again = plan.thing.get('x')
    ;(await load.next()).resolve('back')
    expect(await again).toBe('back')
  })

  test('a TTL that cannot be read is refused when the plan is defined', async ({ open }) => {
    const { cache } = await open()
    const define = (ttl: string) =>
      cache.define({ thing: { load: async () => 1, key: () => [], ttl: ttl as '1m' } })
    for (const ttl of ['0s', '10 m', '1w', '-1s', '1.5m']) expect(() => define(ttl)).toThrow(ttl)
  })
})

describe('C9 tags', () => {
  test('a tag invalidates every entry that carries it, and no other', async ({ open }) => {
    const { cache } = await open()
    const plan = cache.define({
      page: {
        load: async (user: string, page: number) => `${user} ${page}`,
        key: (user, page) => [user, page],
        ttl: '1m',
        tags: (user) => [`user:${user}`],
      },
    })
    for (const user of ['ada', 'bola']) for (const page of [1, 2]) await plan.page.get(user, page)

    await cache.invalidate([tag('user:ada')])
    expect((await plan.page.read('ada', 1)).status).toBe('miss')
    expect((await plan.page.read('ada', 2)).status).toBe('miss')
    expect((await plan.page.read('bola', 1)).status).toBe('hit')
  })
})

describe('C16 jitter', () => {
  test('it only ever shortens, by a tenth at most', async ({ open }) => {
    let draw = 0
    const { cache, raw } = await open({ random: () => draw })
    const plan = cache.define({
      thing: { load: async (id: number) => id, key: (id) => [id], ttl: '100s' },
    })
    for (const [id, share, atLeastMs] of [
      [1, 0, 99_000],
      [2, 0.5, 94_000],
      [3, 0.999, 89_000],
    ] as const) {
      draw = share
      const { key } = await plan.thing.read(id)
      const ttlMs = await eventually(async () => {
        const left = await raw.pttl(key)
        expect(left).toBeGreaterThan(0)
        return left
      })
      expect(ttlMs).toBeGreaterThan(atLeastMs)
      expect(ttlMs).toBeLessThanOrEqual(atLeastMs + 1_010)
    }
  })

  test('nor do values expire together that were set together', async ({ open }) => {
    let draws = 0
    const { cache, raw } = await open({ random: () => (draws++ % 10) / 10 })
    const kind = cache.kind<number>('thing', { ttl: '100s' })
    const ids = Array.from({ length: 10 }, (_, at) => `k${at}`)
    await kind.setMany(ids.map((id, at) => [id, at]))
    await kind.update('written', async () => 1)
    const left = await Promise.all(
      [...ids, 'written'].map(async (id) => raw.pttl((await kind.read(id, () => -1)).key)),
    )
    expect(new Set(left.slice(0, 10).map((ms) => Math.ceil(ms / 1_000))).size).toBe(10)
    expect(Math.min(...left)).toBeGreaterThan(89_000)
    expect(Math.max(...left)).toBeLessThanOrEqual(100_000)
  })
})

describe('C1 namespaces', () => {
  test('an entry lies under environment, service and kind; a personal part is not readable', async ({
    open,
  }) => {
    const { cache } = await open()
    const plan = cache.define({
      byEmail: {
        load: async (email: string) => email,
        key: (email) => [personal(email)],
        ttl: '1m',
      },
    })
    const { key } = await plan.byEmail.read('ada@example.com')
    expect(key).toMatch(/^test:[^:]+:byEmail@1:/)
    expect(key).not.toContain('ada')
  })

  test('an entry of another schema version is not seen', async ({ open }) => {
    const { cache } = await open()
    const define = (version: number) =>
      cache.define({
        thing: { load: async (_id: string) => version, key: (id) => [id], ttl: '1m', version },
      })
    expect(await define(1).thing.get('x')).toBe(1)
    expect(await define(2).thing.get('x')).toBe(2)
  })

  test('what another layout wrote under the key is a miss, not an error', async ({ open }) => {
    const { cache, raw } = await open()
    const plan = cache.define({
      thing: { load: async (_id: string) => 'right', key: (id) => [id], ttl: '1m' },
    })
    const { key: entry } = await plan.thing.read('x')
    for (const foreign of ['', '{}', '1|', '1|a,b|', '9|a,b|c|"wrong"', '1|a,b|c']) {
      await raw.set(entry, foreign)
      expect((await plan.thing.read('x')).value).toBe('right')
    }
  })
})

describe('C19 statistics', () => {
  test('hits, misses and loads are counted by kind, and shown to Prometheus', async ({ open }) => {
    const { cache, registry } = await open()
    const plan = cache.define({
      thing: { load: async (_id: string) => 1, key: (id) => [id], ttl: '1m' },
    })
    await plan.thing.get('x')
    await plan.thing.get('x')
    await plan.thing.get('x')
    expect(cache.statistics()).toMatchObject({
      thing: { hits: { l1: 2, l2: 0 }, misses: 1, bypasses: 0, loads: 1 },
    })
    expect(await registry.metrics()).toMatch(
      /wattle_cache_requests_total\{[^}]*kind="thing",tier="l1",result="hit"\} 2/,
    )
  })
})
