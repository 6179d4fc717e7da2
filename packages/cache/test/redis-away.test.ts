import { eventually, startProxy } from '@wattle/testkit'
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
    expect(await cache.invalidate([plan.thing.ref('x')])).toBe('deferred')
  })

  test('frozen: the first read waits no longer than the deadline, later ones not at all, and it comes back', async ({
    open,
    server,
  }) => {
    const { cache } = await open()
    const plan = cache.define({
      thing: { load: async (id: string) => id, key: (id) => [id], ttl: '1m' },
    })
    await plan.thing.get('x')
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
    expect(await cache.invalidate([plan.byKey.ref('x'), tag('all')])).toBe('deferred')
    expect(await plan.byKey.get('x')).toBe('new')
    server.thaw()

    await eventually(async () => {
      const [byKey, byTag] = [await plan.byKey.read('x'), await plan.byTag.read('x')]
      expect([byKey.value, byTag.value]).toEqual(['new', 'new'])
      expect([byKey.status, byTag.status]).toEqual(['hit', 'hit'])
    })
  })

  test('an invalidation that is deferred while earlier ones are being replayed is replayed too', async ({
    server,
    openAt,
  }) => {
    await using proxy = await startProxy(server)
    const { cache, redis } = openAt(`redis://${proxy.host}:${proxy.port}`)
    const raw = server.client()
    await redis.whenReady(5_000)
    let word = 'oldest'
    const plan = cache.define({
      thing: { load: async (_id: string) => word, key: (id) => [id], ttl: '1m' },
    })
    const { key } = await plan.thing.read('x')
    await eventually(async () => expect((await plan.thing.read('x')).status).toBe('hit'))
    const entry = (await raw.get(key)) ?? ''

    proxy.blackhole()
    word = 'old'
    while ((await cache.invalidate([plan.thing.ref('x')])) === 'applied');
    for (let i = 0; i < 3; i++) await cache.invalidate([plan.thing.ref('x')])
    await proxy.heal()
    proxy.slow(40)
    // The replay has been executed, and its answer is still on the way back.
    await eventually(async () => expect(await raw.get(key)).toBeNull(), { everyMs: 1 })
    word = 'new'
    expect(await cache.invalidate([plan.thing.ref('x')])).toBe('deferred')
    await raw.set(key, entry, 'PX', 60_000)

    await eventually(async () => expect((await plan.thing.read('x')).status).toBe('hit'))
    expect(await plan.thing.get('x')).toBe('new')
  })

  test('killed and started again: entries of before are not believed', async ({ open, server }) => {
    const { cache, raw } = await open()
    let word = 'old'
    const plan = cache.define({
      thing: { load: async (_id: string) => word, key: (id) => [id], ttl: '1m' },
    })
    const { key } = await plan.thing.read('x')
    await eventually(async () => expect((await plan.thing.read('x')).status).toBe('hit'))
    const entry = (await raw.get(key)) ?? ''

    await server.kill()
    await server.restart()
    word = 'new'
    // A new master that missed the last invalidation: the old entry is there again.
    await eventually(() => raw.set(key, entry, 'PX', 60_000))
    await eventually(async () => {
      const outcome = await plan.thing.read('x')
      expect(outcome.value).toBe('new')
      expect(outcome.status).toBe('hit')
    })
  })
})
