import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { test } from './setup.ts'
import { applied, callsOf, inL2 } from './support/caches.ts'

const here = { ttl: '1m', l1: false } as const

describe('C2 many at once', () => {
  test('setMany and getMany take one round trip each', async ({ open }) => {
    const { cache, raw } = await open()
    const word = cache.kind<string>('word', here)
    const entries = Array.from({ length: 60 }, (_, at) => [`k${at}`, `v${at}`] as const)
    const keys = [...entries.map(([key]) => key), 'absent']
    await word.setMany(entries.slice(0, 1))
    await word.getMany(keys.slice(0, 1))
    const before = [await callsOf(raw, 'evalsha'), await callsOf(raw, 'mget')]
    expect((await word.setMany(entries)).outcome).toBe('applied')
    const found = await word.getMany(keys)
    expect(found).toEqual([...entries.map(([, value]) => value), undefined])
    expect(await callsOf(raw, 'mget')).toBe(1 + (before[1] ?? 0))
    // Heartbeats are scripts too: some.
    expect((await callsOf(raw, 'evalsha')) - (before[0] ?? 0)).toBeLessThan(10)
  })

  test('what is missing is loaded in one call, in order, and fenced key by key', async ({
    open,
  }) => {
    const { cache } = await open()
    const word = cache.kind<string>('word', here)
    await word.set('b', 'there')
    const asked: string[][] = []
    const gate = Promise.withResolvers<void>()
    const load = async (missing: readonly string[]) => {
      asked.push([...missing])
      await gate.promise
      return missing.map((key) => `old ${key}`)
    }
    const reading = word.getOrSetMany(['a', 'b', 'c', 'a'], load)
    await eventually(() => expect(asked).toHaveLength(1))
    await applied({ cache }, [word.ref('c')])
    gate.resolve()
    expect(await reading).toEqual(['old a', 'there', 'old c', 'old a'])
    expect(asked).toEqual([['a', 'c']])
    await inL2(() => word.read('a', () => 'no'))
    expect(await word.peek('c')).toBeUndefined()
  })

  test('a bulk loader that returns another number of values fails with a reason', async ({
    open,
  }) => {
    const { cache } = await open()
    const word = cache.kind<string>('word', here)
    const reading = word.getOrSetMany(['a', 'b'], () => Promise.resolve(['only one']))
    await expect(reading).rejects.toThrow('asked for 2 keys and must return as many values')
  })

  test('a plan’s getMany does the same with its loadMany', async ({ open }) => {
    const { cache } = await open()
    const asked: string[][] = []
    const plan = cache.define({
      word: {
        ...here,
        load: (id: string) => Promise.resolve(`one ${id}`),
        loadMany: (all) => {
          asked.push(all.map(([id]) => id))
          return Promise.resolve(all.map(([id]) => `many ${id}`))
        },
        key: (id: string) => ['w', id],
      },
    })
    await plan.word.get('b')
    expect(await plan.word.getMany([['a'], ['b'], ['c']])).toEqual(['many a', 'one b', 'many c'])
    expect(asked).toEqual([['a', 'c']])
  })
})
