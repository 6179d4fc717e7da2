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
