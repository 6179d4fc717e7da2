import { setImmediate as turn } from 'node:timers/promises'
import { failOver, snapshot, startProxy } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { tag } from '../src/index.ts'
import { test } from './setup.ts'
import { applied, inL2, openSynchronized, source, synchronized } from './support/caches.ts'

describe('C13 own writes', () => {
  test('from the moment an invalidation is applied, its process reads nothing older', async ({
    open,
  }) => {
    const { cache } = await open()
    const from = source()
    const plan = cache.define({ word: { load: from.load, key: (id: string) => [id], ttl: '1m' } })
    for (let version = 0; version < 20; version++) {
      from.word = `v${version}`
      await applied({ cache }, [plan.word.ref('a')])
      expect(await plan.word.get('a')).toBe(`v${version}`)
      expect(await plan.word.get('a')).toBe(`v${version}`)
    }
  })

  test('also when a failover has lost the invalidation and the connection with it', async ({
    server,
  }) => {
    const service = 'own-failover'
    await using mine = await openSynchronized({ url: server.url, service })
    const from = source()
    const plan = mine.cache.define({
      word: { load: from.load, key: (id: string) => [id], ttl: '1m', l1: false },
    })
    const raw = server.client()
    for (let round = 0; round < 5; round++) {
      await synchronized(mine)
      from.word = `old ${round}`
      await applied(mine, [plan.word.ref('a')])
      await inL2(() => plan.word.read('a'))
      const before = await snapshot(raw)
      from.word = `new ${round}`
      await applied(mine, [plan.word.ref('a')])
      await failOver(raw, before, { cut: true })
      const seen = new Set<string>()
      for (let fromRedis = 0; fromRedis < 20; await turn()) {
        const { value, status } = await plan.word.read('a')
        seen.add(value)
        if (status !== 'bypass') fromRedis++
      }
      expect([...seen]).toEqual([`new ${round}`])
    }
  })

  test('deferred ones included: Redis is not read before all of them have been replayed', async ({
    server,
  }) => {
    await using proxy = await startProxy(server)
    const url = `redis://127.0.0.1:${proxy.port}`
    await using mine = await openSynchronized({ url, service: 'own-deferred' })
    const from = source()
    const plan = mine.cache.define({
      word: { load: from.load, key: (id: string) => [id], ttl: '1m', l1: false },
    })
    const ids = Array.from({ length: 450 }, (_, at) => `w${at}`)
    await Promise.all(ids.map((id) => inL2(() => plan.word.read(id))))
    await proxy.refuse()
    from.word = 'new'
    const outcomes = await Promise.all(ids.map((id) => mine.cache.invalidate([plan.word.ref(id)])))
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['deferred']))
    // The server lost its scripts meanwhile, as a new master has none.
    await server.client().script('FLUSH')
    await proxy.heal()
    proxy.slow(10)
    const seen = new Set<string>()
    while (!mine.cache.synchronized) {
      for (const id of ids.slice(-20)) seen.add(await plan.word.get(id))
      await turn()
    }
    expect([...seen]).toEqual(['new'])
  })
})

describe('C13 consistency tokens', () => {
  test('a read with the token of a write is never older than the write, in any process', async ({
    server,
  }) => {
    await using proxy = await startProxy(server)
    const there = `redis://127.0.0.1:${proxy.port}`
    const service = 'tokens'
    await using one = await openSynchronized({ url: server.url, service })
    await using two = await openSynchronized({ url: server.url, subscriberUrl: there, service })
    const from = source()
    const line = {
      load: from.load,
      key: (id: string) => [id],
      ttl: '1m',
      tags: () => ['all'],
    } as const
    const [here, elsewhere] = [one.cache.define({ word: line }), two.cache.define({ word: line })]
    await elsewhere.word.get('a')
    await elsewhere.word.get('a')
    // Its messages are held up from now on, so it learns of nothing in time.
    proxy.blackhole('replies')
    for (const refs of [[here.word.ref('a')], [tag('all')], [here.word.all()]]) {
      from.word = `after ${JSON.stringify(refs).length}`
      const token = await applied(one, refs)
      expect((await elsewhere.word.readAfter(token, 'a')).value).toBe(from.word)
    }
  })

  test('a token from before a failover is answered by the source', async ({ server }) => {
    const service = 'old-tokens'
    await using one = await openSynchronized({ url: server.url, service })
    const from = source()
    const plan = one.cache.define({
      word: { load: from.load, key: (id: string) => [id], ttl: '1m' },
    })
    const token = await applied(one, [plan.word.ref('a')])
    await plan.word.get('a')
    const raw = server.client()
    await failOver(raw, await snapshot(raw), { cut: true })
    await synchronized(one)
    await plan.word.get('a')
    expect(await plan.word.readAfter(token, 'a')).toMatchObject({ status: 'bypass', value: 'old' })
  })

  test.for(['nonsense', '0:zz:1', `0:${'a'.repeat(16)}:1,`, 'x'.repeat(5_000)])(
    'what is no token is answered by the source: %s',
    async (token, { open }) => {
      const { cache } = await open()
      const from = source()
      const plan = cache.define({ word: { load: from.load, key: (id: string) => [id], ttl: '1m' } })
      await plan.word.get('a')
      expect(await plan.word.readAfter(token, 'a')).toMatchObject({ status: 'bypass' })
    },
  )
})
