import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { held, test } from './setup.ts'
import { callsOf } from './support/caches.ts'
import { startFleet } from './support/fleet.ts'

/** One fleet for all; each test reads other keys, and the last one kills a member. */
const fleetTest = test.extend<{ fleet: Awaited<ReturnType<typeof startFleet>> }>({
  fleet: [
    async ({ server }, use) => {
      await using fleet = await startFleet(server.url, 'fleet', 4)
      await use(fleet)
    },
    { scope: 'file' },
  ],
})
const beganOf = (fleet: Awaited<ReturnType<typeof startFleet>>, key: string) =>
  fleet.began.filter((began) => began.key === key).length

describe('C14 no stampede', () => {
  test('in one process, concurrent misses of one key are one load', async ({ open }) => {
    const { cache } = await open()
    const load = held<string>()
    const word = cache.kind<string>('word', { ttl: '1m' })
    const readers = Array.from({ length: 500 }, () => word.getOrSet('a', () => load.call('a')))
    ;(await load.next()).resolve('x')
    expect(new Set(await Promise.all(readers))).toEqual(new Set(['x']))
    expect(load.calls).toBe(1)
  })

  fleetTest(
    'in a fleet too: one loads, the others are told when it is done',
    async ({ fleet, server }) => {
      const raw = server.client()
      for (const key of ['a', 'b', 'c']) {
        const readers = fleet.members.flatMap((member) =>
          Array.from({ length: 10 }, () => member.ask({ do: 'read', key, word: key, loadMs: 600 })),
        )
        const before = await callsOf(raw, 'mget')
        expect(new Set(await Promise.all(readers))).toEqual(new Set([key]))
        expect(beganOf(fleet, key)).toBe(1)
        // Who waits looks now and then, not all the time.
        expect((await callsOf(raw, 'mget')) - before).toBeLessThan(40)
      }
    },
  )

  fleetTest(
    'a load that fails is told to all at once: nobody queues behind it',
    async ({ fleet }) => {
      const order = { do: 'read', key: 'failing', word: 'the source is away', loadMs: 500 } as const
      const started = performance.now()
      const readers = fleet.members.flatMap((member) =>
        Array.from({ length: 10 }, () => member.ask({ ...order, fails: true })),
      )
      const outcomes = await Promise.allSettled(readers)
      expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true)
      // The one with the lease, then the others side by side; one after the other would take 20 s.
      expect(performance.now() - started).toBeLessThan(5_000)
      expect(beganOf(fleet, 'failing')).toBeLessThanOrEqual(4)
    },
  )

  test('who waits is woken by the fill, not by looking', async ({ open }) => {
    // Its own look would come after 15 s.
    const [one, two] = [await open(), await open({ random: () => 100 })]
    const load = held<string>()
    const [mine, theirs] = [one, two].map(({ cache }) => cache.kind<string>('word', { ttl: '1m' }))
    if (!mine || !theirs) throw new Error('it was defined')
    const first = mine.getOrSet('a', () => load.call('a'))
    const loading = await load.next()
    const second = theirs.getOrSet('a', () => load.call('a'))
    await eventually(() => expect(two.cache.statistics()['word']?.leaseWaits).toBe(1))
    const started = performance.now()
    loading.resolve('x')
    expect(await Promise.all([first, second])).toEqual(['x', 'x'])
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(load.calls).toBe(1)
  })

  test('a lease is renewed while its load takes long', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    const load = held<string>()
    const [mine, theirs] = [one, two].map(({ cache }) => cache.kind<string>('word', { ttl: '1m' }))
    if (!mine || !theirs) throw new Error('it was defined')
    const readers = [mine.getOrSet('a', () => load.call('a'))]
    const loading = await load.next()
    readers.push(theirs.getOrSet('a', () => load.call('a')))
    const [lease = ''] = await eventually(async () => {
      const leases = await one.raw.keys(`*word@1:a:~lease`)
      expect(leases).toHaveLength(1)
      return leases
    })
    await one.raw.pexpire(lease, 1_000)
    await eventually(async () => expect(await one.raw.pttl(lease)).toBeGreaterThan(1_100))
    loading.resolve('x')
    expect(await Promise.all(readers)).toEqual(['x', 'x'])
    expect(load.calls).toBe(1)
  })

  fleetTest('the holder is killed: another loads, in bounded time', async ({ fleet }) => {
    const [first, ...others] = fleet.members
    if (!first) throw new Error('there are four')
    const order = { do: 'read', key: 'killed', word: 'x' } as const
    void first.ask({ ...order, loadMs: 60_000 })
    await eventually(() => expect(beganOf(fleet, 'killed')).toBe(1))
    const started = performance.now()
    const readers = others.map((member) => member.ask({ ...order, loadMs: 10 }))
    await first.end()
    expect(new Set(await Promise.all(readers))).toEqual(new Set(['x']))
    // A lease of 1.5 s, and then one of them.
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(beganOf(fleet, 'killed')).toBe(2)
  })
})
