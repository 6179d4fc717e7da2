import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { tag } from '../src/index.ts'
import { test } from './setup.ts'
import { applied, inL2 } from './support/caches.ts'

const here = { ttl: '1m', l1: false } as const

describe('C2 basics', () => {
  test('what was set is there, for every process, until its TTL', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    const mine = one.cache.kind<string>('word', { ttl: '1m' })
    const theirs = two.cache.kind<string>('word', { ttl: '1m' })
    expect(await mine.set('a', 'x')).toMatchObject({ outcome: 'applied' })
    expect(await theirs.peek('a')).toBe('x')
    expect(await mine.set('a', 'y', { ttl: '10s' })).toMatchObject({ outcome: 'applied' })
    await eventually(async () => expect(await theirs.peek('a')).toBe('y'))
    expect(await mine.ttl('a')).toBeGreaterThan(8_000)
    expect(await mine.ttl('a')).toBeLessThanOrEqual(10_000)
  })

  test('has, ttl and peek tell what is there, and load nothing', async ({ open }) => {
    const { cache } = await open()
    const word = cache.kind<string | null>('word', here)
    expect([await word.has('a'), await word.ttl('a'), await word.peek('a')]).toEqual([
      false,
      undefined,
      undefined,
    ])
    await word.set('a', null)
    expect([await word.has('a'), await word.peek('a')]).toEqual([true, null])
    expect(cache.statistics()['word']?.loads).toBe(0)
  })

  test('delete removes it everywhere', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    const mine = one.cache.kind<string>('word', { ttl: '1m' })
    const theirs = two.cache.kind<string>('word', { ttl: '1m' })
    await theirs.getOrSet('a', () => 'x')
    expect((await mine.delete('a')).outcome).toBe('applied')
    expect(await mine.has('a')).toBe(false)
    await eventually(async () => expect(await theirs.has('a')).toBe(false))
  })

  test('touch begins the lifetime anew, of what is there and valid only', async ({ open }) => {
    const { cache, raw } = await open()
    const word = cache.kind<string>('word', here)
    expect(await word.touch('a')).toBe(false)
    await word.set('a', 'x', { tags: ['t'] })
    const { key } = await word.read('a', () => 'no')
    await raw.pexpire(key, 5_000)
    await raw.setrange(key, 34, String(Date.now() - 50_000))
    expect(await word.ttl('a')).toBeLessThan(11_000)
    expect(await word.touch('a')).toBe(true)
    expect(await word.ttl('a')).toBeGreaterThan(53_000)
    expect(await raw.pttl(key)).toBeGreaterThan(53_000)
    expect(await word.peek('a')).toBe('x')
    await applied({ cache }, [tag('t')])
    expect(await word.touch('a')).toBe(false)
    expect(await word.peek('a')).toBeUndefined()
  })

  test('compareAndSet: of 50 at once one succeeds, each time', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    const kinds = [one, two].map(({ cache }) => cache.kind<number>('count', { ttl: '1m' }))
    const [mine, theirs] = kinds
    if (!mine || !theirs) throw new Error('it was defined')
    let known: number | undefined
    for (let round = 0; round < 5; round++) {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 50 }, (_, at) =>
          (at % 2 === 0 ? mine : theirs).compareAndSet('a', known, round * 100 + at),
        ),
      )
      const won = outcomes.flatMap((outcome, at) =>
        outcome.status === 'fulfilled' && outcome.value ? [round * 100 + at] : [],
      )
      expect(won).toHaveLength(1)
      known = won[0]
      for (const kind of kinds)
        await eventually(async () => expect(await kind.peek('a')).toBe(known))
    }
  })

  test('compareAndSet knows an invalidated value no more, and compares objects by content', async ({
    open,
  }) => {
    const { cache } = await open()
    const thing = cache.kind<{ a: number; when?: Date }>('thing', here)
    await thing.set('x', { a: 1 })
    expect(await thing.compareAndSet('x', { a: 2 }, { a: 3 })).toBe(false)
    expect(await thing.compareAndSet('x', undefined, { a: 3 })).toBe(false)
    expect(await thing.compareAndSet('x', { a: 1 }, { a: 3 })).toBe(true)
    await applied({ cache }, [thing.all()])
    expect(await thing.compareAndSet('x', { a: 3 }, { a: 4 })).toBe(false)
    expect(await thing.compareAndSet('x', undefined, { a: 4, when: new Date(4) })).toBe(true)
    expect(await thing.compareAndSet('x', { a: 4, when: new Date(4) }, { a: 5 })).toBe(true)
    expect(await thing.peek('x')).toEqual({ a: 5 })
  })

  test('a counter adds without losing any, and begins its lifetime with its first change', async ({
    open,
  }) => {
    const [one, two] = [await open(), await open()]
    const counters = [one, two].map(({ cache }) => cache.counter('visits', { ttl: '1m' }))
    const [mine, theirs] = counters
    if (!mine || !theirs) throw new Error('it was made')
    expect(await mine.get('a')).toBe(0)
    const sums = await Promise.all(Array.from({ length: 100 }, () => mine.increment('a', 2)))
    expect(sums).toContain(200)
    expect(await theirs.increment('a', -50)).toBe(150)
    const [key = ''] = await one.raw.keys('*:visits@1:a')
    expect(await one.raw.pttl(key)).toBeGreaterThan(50_000)
    await one.raw.pexpire(key, 20_000)
    await mine.increment('a')
    expect(await one.raw.pttl(key)).toBeLessThanOrEqual(20_000)
    await theirs.delete('a')
    expect(await mine.get('a')).toBe(0)
    await expect(mine.increment('a', 0.5)).rejects.toThrow(/whole numbers, not 0.5/)
  })
})

describe('C3 absence', () => {
  test('is kept for a TTL of its own when asked for', async ({ open }) => {
    const { cache, raw } = await open()
    const word = cache.kind<string | undefined>('word', { ...here, absentTtl: '5s' })
    let loads = 0
    const load = () => (loads++, undefined)
    const { key } = await word.read('a', load)
    await inL2(() => word.read('a', load))
    expect(loads).toBe(1)
    expect(await raw.pttl(key)).toBeLessThanOrEqual(5_000)
    expect(await word.has('a')).toBe(true)
  })
})

describe('C14 a look', () => {
  test('does not wait for the load of another caller, nor fail with it', async ({ open }) => {
    const { cache } = await open()
    const word = cache.kind<string>('word', here)
    const { promise, reject } = Promise.withResolvers<string>()
    const began = Promise.withResolvers<void>()
    const reading = word.getOrSet('a', () => (began.resolve(), promise))
    await began.promise
    expect(await word.peek('a')).toBeUndefined()
    expect(await word.has('a')).toBe(false)
    reject(new Error('away'))
    await expect(reading).rejects.toThrow('away')
  })
})
