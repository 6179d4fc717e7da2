import { describe, expect } from 'vitest'
import { tag, type KindOptions } from '../src/index.ts'
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

  test.for<[Record<string, unknown>, RegExp]>([
    [{ load: undefined }, /^load of thing is no function/],
    [{ key: 'id' }, /^key of thing is no function/],
    [{ tags: ['a'] }, /^tags of thing is no function/],
    [{ valueTags: 'a' }, /^valueTags of thing is no function/],
    [{ loadMany: 5 }, /^loadMany of thing is no function/],
  ])('%o', async ([options, message], { open }) => {
    const { cache } = await open()
    const line = { load, key: () => 'a', ttl: '1m', ...options }
    expect(() => cache.define({ thing: line as never })).toThrow(message)
    expect(cache.kinds).toEqual([])
  })

  test('a name that is none, and a TTL that no server knows', async ({ open }) => {
    const { cache } = await open()
    expect(() => cache.kind(undefined as never, { ttl: '1m' })).toThrow(/called by a name/)
    expect(() => cache.counter('count', { ttl: '99999999999d' })).toThrow(/a hundred years/)
  })

  test.for(['constructor', 'toString', 'hasOwnProperty'])(
    'a kind may be called %s',
    async (name, { open }) => {
      const { cache } = await open()
      const thing = cache.kind<number>(name, { ttl: '1m' })
      await thing.set('a', 1)
      expect((await cache.invalidate([thing.ref('a')])).outcome).toBe('applied')
      expect(await thing.peek('a')).toBeUndefined()
    },
  )

  test('what names nothing is refused, and not reported as invalidated', async ({ open }) => {
    const { cache } = await open()
    const kind = cache.kind<number>('thing', { ttl: '1m' })
    const { line } = cache.define({ line: { load, key: () => 'a', ttl: '1m' } })
    for (const wrong of [kind, line, kind.all, undefined, {}, 'thing', { tag: 'a', mode: 'no' }]) {
      await expect(cache.invalidate([wrong as never])).rejects.toThrow(/is no ref: give a list/)
      expect(() => cache.encodeRefs([wrong as never])).toThrow(/is no ref/)
    }
    expect(() => tag(undefined as never)).toThrow(/is no ref/)
  })

  test('tags that are no list of texts, and a read without a loader, are refused', async ({
    open,
  }) => {
    const { cache } = await open()
    const thing = cache.kind<number>('thing', { ttl: '1m' })
    const wrong = { tags: 'a' as never }
    await expect(async () => thing.getOrSet('a', load, wrong)).rejects.toThrow(/no list of texts/)
    await expect(async () => thing.getOrSet('a', undefined as never)).rejects.toThrow(
      /^a read of thing was given no loader/,
    )
    await expect(thing.read('a', 5 as never)).rejects.toThrow(/given no loader/)
  })

  test.for(['5', '10x'])('a TTL of one call is read the same way: %s', async (ttl, { open }) => {
    const { cache } = await open()
    const thing = cache.kind<number>('thing', { ttl: '1m' })
    expect(() => thing.getOrSet('a', load, { ttl: ttl as '1m' })).toThrow(/^ttl of thing is/)
  })
})
