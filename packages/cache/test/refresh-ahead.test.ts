import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { held, test } from './setup.ts'
import { inL1, grow, inL2, openSynchronized } from './support/caches.ts'

describe('C6 refresh-ahead', () => {
  test.for([
    ['plain', 'old', 'new'],
    ['rich', new Date(1), new Date(2)],
  ] as const)(
    'past its share of the TTL a %s value is served, and loaded anew by one process only',
    async ([, old, fresh], { server }) => {
      const service = `ahead-${typeof old}`
      let aheadMs = 0
      const now = () => performance.now() + aheadMs
      await using one = await openSynchronized({ url: server.url, service, now })
      await using two = await openSynchronized({ url: server.url, service, now })
      const load = held<unknown>()
      const [here, there] = [one, two].map(({ cache }) =>
        cache.define({ thing: { load: load.call, key: (id: string) => [id], ttl: '10m' } }),
      )
      if (!here || !there) throw new Error('it was defined')
      const first = here.thing.get('a')
      ;(await load.next()).resolve(old)
      await first
      for (const { thing } of [here, there]) {
        await inL1(() => thing.read('a'))
      }
      // Past the share for both by their own clocks, and not past the TTL, which jitter shortens to 540 s at most.
      aheadMs = 510_000
      await eventually(() => {
        expect([one.cache.synchronized, two.cache.synchronized]).toEqual([true, true])
      })
      for (const { thing } of [here, there, here, there]) {
        expect(await thing.read('a')).toMatchObject({ value: old, status: 'hit', tier: 'l1' })
      }
      const refresh = await load.next()
      for (const { thing } of [here, there]) expect(await thing.get('a')).toEqual(old)
      refresh.resolve(fresh)
      await eventually(async () => {
        expect([await here.thing.get('a'), await there.thing.get('a')]).toContainEqual(fresh)
      })
      expect(load.calls).toBe(2)
    },
  )

  test('one that fails leaves the present value, and no rejection', async ({ open }) => {
    const { cache, raw } = await open()
    const word = cache.kind<string>('word', { ttl: '10m', l1: false })
    const { key } = await word.read('a', () => 'old')
    await inL2(() => word.read('a', () => 'no'))
    await grow(raw, key, 510_000)
    let failed = 0
    const load = () => Promise.reject(new Error(`away ${failed++}`))
    expect(await word.read('a', load)).toMatchObject({ value: 'old', status: 'hit' })
    await eventually(() => expect(failed).toBe(1))
    expect(await word.peek('a')).toBe('old')
  })

  test('switched off, it does not happen', async ({ open }) => {
    const { cache, raw } = await open()
    const word = cache.kind<string>('word', { ttl: '10m', refreshAhead: false, l1: false })
    const { key } = await word.read('a', () => 'old')
    await inL2(() => word.read('a', () => 'no'))
    await grow(raw, key, 510_000)
    let loads = 0
    for (let read = 0; read < 5; read++) await word.read('a', () => `${loads++}`)
    expect(loads).toBe(0)
  })
})
