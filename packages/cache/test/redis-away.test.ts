import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { tag } from '../src/index.ts'
import { test } from './setup.ts'

describe('C23 Redis slow or gone', () => {
  test('absent from the beginning: the source answers', async ({ openAt }) => {
    const { cache } = openAt('redis://127.0.0.1:1')
    const plan = cache.define({
      thing: { load: async (id: string) => id, key: (id) => [id], ttl: '1m' },
    })
    expect(await plan.thing.read('x')).toMatchObject({ value: 'x', status: 'bypass' })
    expect((await cache.invalidate([plan.thing.ref('x')])).outcome).toBe('deferred')
    expect(await cache.whenSynchronized(50)).toBe(false)
  })

  test('who waits until it is synchronized gets the first hit', async ({ openAt, server }) => {
    const { cache } = openAt(server.url)
    const thing = cache.kind<number>('thing', { ttl: '1m' })
    expect(await cache.whenSynchronized(10_000)).toBe(true)
    expect((await thing.read('x', () => 1)).status).toBe('miss')
    await eventually(async () => expect((await thing.read('x', () => 2)).value).toBe(1))
  })

  test('frozen: the first read waits no longer than the deadline, later ones not at all, and it comes back', async ({
    open,
    server,
  }) => {
    const { cache } = await open()
    const plan = cache.define({
      thing: { load: async (id: string) => id, key: (id) => [id], ttl: '1m' },
    })
    await eventually(async () => expect((await plan.thing.read('x')).tier).toBe('l1'))
    await cache.invalidate([plan.thing.ref('x')])
    server.freeze()
    try {
      for (let i = 0; i < 5; i++) {
        const started = performance.now()
        expect(await plan.thing.read('x')).toMatchObject({ value: 'x', status: 'bypass' })
        expect(performance.now() - started).toBeLessThan(400)
      }
      const started = performance.now()
      await plan.thing.read('x')
      expect(performance.now() - started).toBeLessThan(50)
    } finally {
      server.thaw()
    }
    await eventually(async () => expect((await plan.thing.read('x')).status).toBe('hit'))
  })

  test('an invalidation made while Redis is away is kept, and nothing old is read after its return', async ({
    open,
    server,
  }) => {
    const { cache } = await open()
    let word = 'old'
    const plan = cache.define({
      byKey: { load: async (_id: string) => word, key: (id) => [id], ttl: '1m' },
      byTag: {
        load: async (_id: string) => word,
        key: (id) => [id],
        ttl: '1m',
        tags: () => ['all'],
      },
    })
    await plan.byKey.get('x')
    await plan.byTag.get('x')

    server.freeze()
    word = 'new'
    expect((await cache.invalidate([plan.byKey.ref('x'), tag('all')])).outcome).toBe('deferred')
    expect(await plan.byKey.get('x')).toBe('new')
    server.thaw()

    await eventually(async () => {
      const [byKey, byTag] = [await plan.byKey.read('x'), await plan.byTag.read('x')]
      expect([byKey.value, byTag.value]).toEqual(['new', 'new'])
      expect([byKey.status, byTag.status]).toEqual(['hit', 'hit'])
    })
  })
})
