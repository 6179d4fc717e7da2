import { setTimeout as wait } from 'node:timers/promises'
import { eventually, randomFrom } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { held, test } from './setup.ts'

describe('C23 the cap on loads', () => {
  test.for([0, -1, Number.NaN])('of %s is refused', async (loads, { open }) => {
    await expect(open({ loads })).rejects.toThrow(
      /^loads of a cache is .*: give a number from 1 up/,
    )
  })

  test('no more than so many run at once; the others wait in order', async ({ open }) => {
    const { cache } = await open({ loads: 3 })
    const load = held<string>()
    const word = cache.kind<string>('word', { ttl: '1m' })
    const readers = Array.from({ length: 10 }, (_, at) =>
      word.getOrSet(`k${at}`, () => load.call(`${at}`)),
    )
    for (let at = 0; at < 10; at++) {
      const call = await load.next()
      expect(load.calls).toBeLessThanOrEqual(at + 3)
      call.resolve(`v${at}`)
    }
    expect(await Promise.all(readers)).toEqual(Array.from({ length: 10 }, (_, at) => `v${at}`))
  })

  test('a loader may read another kind, however many do at once', async ({ open }) => {
    const { cache } = await open({ loads: 2 })
    const [outer, inner] = ['outer', 'inner'].map((name) => cache.kind<number>(name, { ttl: '1m' }))
    const hold = Promise.withResolvers<number>()
    // Those that came from elsewhere and wait for a place do not hold up who has one and waits for them.
    const read = (at: number) => inner!.getOrSet(`${at % 3}`, () => at % 3)
    const values = Array.from({ length: 10 }, (_, at) =>
      outer!.getOrSet(`${at}`, async () => (await hold.promise) + (await read(at))),
    )
    const queued = [0, 1, 2].map(read)
    hold.resolve(10)
    expect(await Promise.all(values)).toEqual(values.map((_, at) => 10 + (at % 3)))
    expect(await Promise.all(queued)).toEqual([0, 1, 2])
  })

  test('a load that others wait for, and that reads another itself, finds a place', async ({
    open,
  }) => {
    const { cache } = await open({ loads: 2 })
    const [page, part, word, letter] = ['page', 'part', 'word', 'letter'].map((name) =>
      cache.kind<string>(name, { ttl: '1m' }),
    )
    const hold = Promise.withResolvers<void>()
    const begun: string[] = []
    const read = () =>
      word!.getOrSet('w', async () => {
        begun.push('w')
        await hold.promise
        return letter!.getOrSet('l', () => 'x')
      })
    const first = read()
    await eventually(() => expect(begun).toEqual(['w']))
    // They take all places of what loaders read, and wait for the first.
    const second = page!.getOrSet('p', async () => {
      const parts = ['1', '2'].map((id) =>
        part!.getOrSet(id, () => {
          begun.push(id)
          return read()
        }),
      )
      return (await Promise.all(parts)).join('')
    })
    await eventually(() => expect(begun).toHaveLength(3))
    hold.resolve()
    expect(await Promise.all([first, second])).toEqual(['x', 'xx'])
  })

  test('however loaders read what others load, with invalidations in between, none waits for another for ever', async ({
    open,
  }) => {
    const { cache } = await open({ loads: 1 })
    const random = randomFrom(Number(process.env['SEED'] ?? 1))
    const [size, rounds] = [12, 25]
    for (let round = 0; round < rounds; round++) {
      const node = cache.kind<number>(`node${round}`, { ttl: '1m' })
      /** Each reads some of those after it. */
      const edges = Array.from({ length: size }, (_, at) =>
        Array.from({ length: random.below(4) }, () => at + 1 + random.below(size - at)).filter(
          (other) => other < size,
        ),
      )
      const read = (at: number): Promise<number> =>
        node.getOrSet(`${at}`, async () => {
          if (random.chance(0.7)) await wait(random.below(6))
          const others = edges[at] ?? []
          if (random.chance(0.5)) await Promise.all(others.map(read))
          else for (const other of others) await read(other)
          return at
        })
      const readings: Promise<number>[] = []
      for (let reader = 0; reader < 40; reader++) {
        readings.push(read(random.below(size)))
        if (random.chance(0.5)) await wait(random.below(4))
        if (random.chance(0.3)) void cache.invalidate([node.ref(`${random.below(size)}`)])
      }
      // None has rejected with a LoadTimeoutError, which it would after ten seconds.
      expect(await Promise.all(readings)).toHaveLength(40)
    }
  })

  test('what loaders read is loaded by no more than the cap at once, either', async ({ open }) => {
    const { cache } = await open({ loads: 3 })
    const inner = held<number>()
    const kinds = ['outer', 'inner'].map((name) => cache.kind<number>(name, { ttl: '1m' }))
    const reading = kinds[0]!.getOrSet('a', async () => {
      const read = (at: number) => kinds[1]!.getOrSet(`${at}`, () => inner.call(`${at}`))
      const values = await Promise.all(Array.from({ length: 7 }, (_, at) => read(at)))
      return values.length
    })
    for (let at = 0; at < 7; at++) {
      const call = await inner.next()
      expect(inner.calls - at).toBeLessThanOrEqual(3)
      call.resolve(at)
    }
    expect(await reading).toBe(7)
  })

  test('a loader that reads the key that it loads is told, also by way of others', async ({
    open,
  }) => {
    const { cache } = await open()
    const [word, other] = ['word', 'other'].map((name) => cache.kind<string>(name, { ttl: '1m' }))
    const read = (): Promise<string> => word!.getOrSet('a', read)
    await expect(read()).rejects.toThrow('a load of word would wait for itself')
    const ping = (): Promise<string> => word!.getOrSet('b', () => other!.getOrSet('b', ping))
    await expect(ping()).rejects.toThrow('a load of word would wait for itself')
    // Two that began apart, and read one another's key then.
    const hold = Promise.withResolvers<void>()
    const begin = (): Promise<string> => word!.getOrSet('c', () => hold.promise.then(answer))
    const answer = (): Promise<string> => other!.getOrSet('c', () => hold.promise.then(begin))
    const both = Promise.allSettled([begin(), answer()])
    hold.resolve()
    for (const one of await both) {
      expect(one).toMatchObject({
        reason: { message: expect.stringContaining('would wait for itself') },
      })
    }
    expect(await word!.getOrSet('a', () => 'x')).toBe('x')
  })

  test('waiting counts towards the hard timeout, and a load that hangs gives up its place', async ({
    open,
  }) => {
    const { cache } = await open({ loads: 1 })
    const word = cache.kind<string>('word', { ttl: '1m', hardTimeout: '200ms' })
    const hanging = word.getOrSet('a', () => new Promise<string>(() => {}))
    const waiting = word.getOrSet('b', () => 'x')
    const outcomes = await Promise.allSettled([hanging, waiting])
    expect(outcomes[0].status).toBe('rejected')
    expect(await word.getOrSet('c', () => 'y')).toBe('y')
  })
})
