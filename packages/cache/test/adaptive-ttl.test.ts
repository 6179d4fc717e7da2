import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { adaptedMs } from '../src/adaptive.ts'
import type { Cache, KindOptions } from '../src/index.ts'
import { test } from './setup.ts'

/** A kind whose entries are refreshed by almost any read, and a look at how long the present one lives. */
function adaptive(cache: Cache, options: Partial<KindOptions> = {}) {
  const source = { value: 'a'.repeat(100), loads: 0 }
  const plan = cache.define({
    thing: {
      load: async (_id: string) => (source.loads++, source.value),
      key: (id) => [id],
      ttl: '800ms',
      adaptive: { min: '200ms', max: '4s' },
      refreshAhead: 0.05,
      l1: false,
      ...options,
    },
  })
  const lifetimeMs = async () => {
    const { status, ageMs, ttlMs } = await plan.thing.read('x')
    return status === 'hit' ? ageMs + ttlMs : 0
  }
  return { ...plan, source, lifetimeMs }
}

describe('C16 adaptive TTL', () => {
  test('an entry that is read often and does not change lives longer, up to the bound', async ({
    open,
  }) => {
    const { cache } = await open()
    const { lifetimeMs } = adaptive(cache)
    const seen: number[] = []
    await eventually(async () => {
      seen.push(await lifetimeMs())
      expect(seen.at(-1)).toBeGreaterThan(3_500)
    })
    expect(seen.some((ms) => ms > 0 && ms <= 800)).toBe(true)
    expect(Math.max(...seen)).toBeLessThanOrEqual(4_000)
  })

  test('one that changes on its own lives shorter, down to the bound', async ({ open }) => {
    const { cache } = await open()
    const { lifetimeMs, source } = adaptive(cache)
    const seen: number[] = []
    await eventually(async () => {
      source.value = `${source.loads}`
      seen.push(await lifetimeMs())
      expect(seen.at(-1)).toBeGreaterThan(0)
      expect(seen.at(-1)).toBeLessThanOrEqual(200)
    })
    // Jitter takes a tenth at most.
    expect(Math.min(...seen.filter((ms) => ms > 0))).toBeGreaterThanOrEqual(179)
  })

  test('after an invalidation it begins at its TTL', async ({ open }) => {
    const { cache } = await open()
    const { thing, lifetimeMs } = adaptive(cache)
    await eventually(async () => expect(await lifetimeMs()).toBeGreaterThan(2_000))
    await cache.invalidate([thing.ref('x')])
    await thing.get('x')
    expect(await lifetimeMs()).toBeLessThanOrEqual(800)
  })

  test('compressed values, and stale ones within their grace, are compared too', async ({
    open,
  }) => {
    const { cache } = await open()
    const { lifetimeMs, source } = adaptive(cache, {
      refreshAhead: false,
      grace: '10s',
      ttl: '200ms',
      compressAbove: 20,
    })
    source.value = 'long '.repeat(1_000)
    await eventually(async () => expect(await lifetimeMs()).toBeGreaterThan(700))
  })

  test('an absence says nothing about the value that comes after it', async ({ open }) => {
    const { cache } = await open()
    const { lifetimeMs, source } = adaptive(cache, {
      absentTtl: '200ms',
      adaptive: { min: '1ms', max: '4s' },
    })
    const { value } = source
    Object.assign(source, { value: undefined })
    await lifetimeMs()
    source.value = value
    const first = await eventually(async () => {
      const ms = await lifetimeMs()
      expect(ms).toBeGreaterThan(200)
      return ms
    })
    expect(first).toBeGreaterThanOrEqual(719)
  })

  test('no step leaves the bounds', () => {
    const bounds = { minMs: 100, maxMs: 1_000 }
    expect(adaptedMs(400, true, bounds)).toBe(800)
    expect(adaptedMs(800, true, bounds)).toBe(1_000)
    expect(adaptedMs(150, false, bounds)).toBe(100)
  })

  test('bounds that cannot be kept are refused when the plan is defined', async ({ open }) => {
    const { cache } = await open()
    const define = (options: Partial<KindOptions>) => () => adaptive(cache, options)
    expect(define({ adaptive: { min: '1s', max: '4s' } })).toThrow('give bounds with the ttl')
    expect(define({ adaptive: { min: '1ms', max: '8d' } })).toThrow('more than 7 days')
    expect(define({ refreshAhead: false })).toThrow('needs refreshAhead or grace')
  })
})
