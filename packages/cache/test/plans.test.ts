import { describe, expect } from 'vitest'
import type { KindOptions } from '../src/index.ts'
import { test } from './setup.ts'

describe('C1 a plan that cannot be kept is refused in one sentence that says what to do', () => {
  const load = () => Promise.resolve(1)
  test.for<[Record<string, unknown>, RegExp]>([
    [
      { ttl: '10 minutes' },
      /^ttl of thing is "10 minutes".*write a whole number and ms, s, m, h or d/,
    ],
    [{ ttl: '0s' }, /^ttl of thing is "0s"/],
    [{ ttl: '1m', grace: 'long' }, /^grace of thing is "long"/],
    [{ ttl: '5d', grace: '3d' }, /^ttl and grace of thing are more than 7 days together: shorten/],
    [{ ttl: '8d' }, /7 days/],
    [{ ttl: '1m', absentTtl: '1w' }, /^absentTtl of thing is "1w"/],
    [{ ttl: '1m', absentTtl: '8d' }, /^absentTtl of thing is more than 7 days: shorten it/],
    [{ ttl: '1m', refreshAhead: 1 }, /^refreshAhead of thing is 1: give a share between 0 and 1/],
    [{ ttl: '1m', refreshAhead: Number.NaN }, /^refreshAhead of thing is NaN/],
    [{ ttl: '1m', softTimeout: '-1s' }, /^softTimeout of thing is "-1s"/],
    [{ ttl: '1m', hardTimeout: '' }, /^hardTimeout of thing is ""/],
    [{ ttl: '1m', compressAbove: Number.NaN }, /^compressAbove of thing/],
    [{ ttl: '1m', compressAbove: -1 }, /^compressAbove of thing/],
    [{ ttl: '1m', version: 0 }, /thing@0/],
    [{ ttl: '1m', version: 1.5 }, /thing@1\.5/],
  ])('%o', async ([options, message], { open }) => {
    const { cache } = await open()
    const define = () =>
      cache.define({ thing: { load, key: () => ['a'], ...(options as KindOptions) } })
    expect(define).toThrow(message)
    // Nothing of it was declared.
    expect(cache.kinds).toEqual([])
    cache.kind('thing', { ttl: '1m' })
  })

  test.for(['tag', 'tags', 'generations', 'invalidations'])(
    'the name %s is the cache’s own',
    async (name, { open }) => {
      const { cache } = await open()
      const own = `a kind cannot be called ${name}: choose another name`
      expect(() => cache.kind(name, { ttl: '1m' })).toThrow(own)
      expect(() => cache.counter(name, { ttl: '1m' })).toThrow(own)
    },
  )

  test.for(['', 'a b', 'a:b', '9a', 'a@1', '*'])(
    'a kind cannot be called "%s"',
    async (name, { open }) => {
      const { cache } = await open()
      expect(() => cache.kind(name, { ttl: '1m' })).toThrow(TypeError)
      expect(() => cache.counter(name, { ttl: '1m' })).toThrow(TypeError)
    },
  )

  test('a kind is declared once, a counter of its name included', async ({ open }) => {
    const { cache } = await open()
    cache.kind('thing', { ttl: '1m' })
    const twice = 'the kind thing@1 is declared twice: declare it once and share it'
    expect(() => cache.kind('thing', { ttl: '1m' })).toThrow(twice)
    expect(() => cache.counter('thing', { ttl: '1m' })).toThrow(twice)
    cache.kind('thing', { ttl: '1m', version: 2 })
    expect(cache.kinds.map(({ name }) => name)).toEqual(['thing', 'thing'])
  })

  test.for(['', '*', 'thing', 'thing:', 'thing:*:a', 'other:*', 'thing:a'])(
    'the pattern "%s" is refused, with the kinds that there are',
    async (pattern, { open }) => {
      const { cache } = await open()
      cache.kind('thing', { ttl: '1m' })
      await expect(cache.invalidatePattern(pattern)).rejects.toThrow(/write a kind \(thing\)/)
    },
  )

  test.for(['5', '10x'])('a TTL of one call is read the same way: %s', async (ttl, { open }) => {
    const { cache } = await open()
    const thing = cache.kind<number>('thing', { ttl: '1m' })
    expect(() => thing.getOrSet('a', load, { ttl: ttl as '1m' })).toThrow(/^ttl of thing is/)
  })
})
