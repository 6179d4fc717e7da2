import { setImmediate as turn } from 'node:timers/promises'
import { eventually, startProxy, startRedis, type TestProxy, type TestRedis } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { tag } from '../src/index.ts'
import { test } from './setup.ts'
import {
  inL1,
  applied,
  inL2,
  isCached,
  openCache,
  openSynchronized,
  source,
  synchronized,
} from './support/caches.ts'

/** Keeps the event loop from turning. */
function standStill(milliseconds: number): void {
  const until = performance.now() + milliseconds
  while (performance.now() < until);
}

type Fault = {
  name: string
  begin(server: TestRedis, proxy: TestProxy): unknown
  end(server: TestRedis, proxy: TestProxy): unknown
}
const faults: Fault[] = [
  { name: 'frozen', begin: (server) => server.freeze(), end: (server) => server.thaw() },
  {
    name: 'killed',
    begin: (server) => server.kill(),
    end: (server) => server.restart(),
  },
  {
    name: 'silent',
    begin: (_, proxy) => proxy.blackhole(),
    end: (_, proxy) => proxy.heal(),
  },
  { name: 'slow by 100 ms', begin: (_, proxy) => proxy.slow(100), end: (_, proxy) => proxy.heal() },
  {
    name: 'refusing connections',
    begin: (_, proxy) => proxy.refuse(),
    end: (_, proxy) => proxy.heal(),
  },
  {
    name: 'a replica by now',
    begin: (server) => server.client().replicaof('127.0.0.1', 1),
    end: (server) => server.client().replicaof('NO', 'ONE'),
  },
]

describe.for(faults)('C23 Redis is $name', ({ name, begin, end }) => {
  test('the source answers in bounded time; invalidations are deferred, and nothing old is read after', async ({
    server,
  }) => {
    await using proxy = await startProxy(server)
    const service = `fault-${faults.findIndex((fault) => fault.name === name)}`
    const url = `redis://127.0.0.1:${proxy.port}`
    await using one = await openSynchronized({ url, service })
    const from = source()
    const word = one.cache.kind<string>('word', { ttl: '1m', l1: false })
    const read = (key: string) => word.read(key, () => from.load(key), { tags: ['t'] })
    for (const key of ['a', 'b', 'c']) await inL2(() => read(key))
    await begin(server, proxy)
    try {
      let waitedMs = 0
      for (let round = 0; round < 12; round++) {
        const started = performance.now()
        expect((await read('d')).value).toBe('old')
        waitedMs = performance.now() - started
        // 150 ms are promised; the machine may be busy.
        expect(waitedMs).toBeLessThan(400)
        await turn()
      }
      await eventually(async () => expect((await read('d')).status).toBe('bypass'))
      const started = performance.now()
      for (let round = 0; round < 20; round++) await read('d')
      expect((performance.now() - started) / 20).toBeLessThan(50)

      from.word = 'new'
      const outcomes = await Promise.all([
        one.cache.invalidate([word.ref('a')]),
        one.cache.invalidate([tag('t')]),
        word.set('e', 'set'),
      ])
      expect(outcomes.map(({ outcome }) => outcome)).toEqual(['deferred', 'deferred', 'deferred'])
      expect((await read('a')).value).toBe('new')
      expect(await word.update('f', () => Promise.resolve('written'))).toBe('written')
    } finally {
      await end(server, proxy)
    }
    await eventually(
      async () => {
        for (const key of ['a', 'b', 'c']) {
          const { value, status } = await read(key)
          if (value !== 'new') throw Object.assign(new Error('it is stale'), { key, value })
          expect(status).toBe('hit')
        }
      },
      { withinMs: 15_000 },
    )
    await synchronized(one)
  })
})

describe('C23 Redis is out of memory', () => {
  test('invalidations are applied all the same, reads go on, nothing is thrown', async ({
    server,
  }) => {
    await using one = await openSynchronized({ url: server.url, service: 'full' })
    const from = source()
    const word = one.cache.kind<string>('word', { ttl: '1m' })
    const read = () => word.read('a', () => from.load('a'), { tags: ['t'] })
    await isCached(read)
    const raw = server.client()
    await raw.config('SET', 'maxmemory', '1')
    try {
      for (let round = 0; round < 10; round++) {
        from.word = `v${round}`
        await applied(one, [round % 2 === 0 ? word.ref('a') : tag('t')])
        expect((await read()).value).toBe(`v${round}`)
      }
      for (let round = 0; round < 5; round++) {
        expect((await word.set('b', 'x')).outcome).toBe('deferred')
        expect(await word.update('c', () => Promise.resolve('y'))).toBe('y')
        await expect(word.compareAndSet('d', undefined, 'z')).rejects.toThrow(
          /could not be decided/,
        )
      }
      expect(await one.cache.counter('n', { ttl: '1m' }).increment('a')).toBeUndefined()
      // A refusal is an answer: Redis counts as there.
      await synchronized(one)
      expect(one.log.lines.join()).not.toContain('is not asked')
    } finally {
      await raw.config('SET', 'maxmemory', '256mb')
    }
    await eventually(async () => expect(await read()).toMatchObject({ status: 'hit' }))
    expect(await word.peek('b')).toBeUndefined()
  })
})

describe('C23 Redis refuses the password', () => {
  test('the source answers, it is told once, and once it is right the cache works', async () => {
    await using server = await startRedis({ acl: true, services: ['billing'] })
    const url = `redis://billing:wrong-password@${server.host}:${server.port}`
    await using one = openCache({ url, service: 'billing' })
    const word = one.cache.kind<string>('word', { ttl: '1m' })
    await eventually(() => expect(one.redis.state).toBe('down'))
    expect(await word.read('a', () => 'x')).toMatchObject({ value: 'x', status: 'bypass' })
    expect((await one.cache.invalidate([word.ref('a')])).outcome).toBe('deferred')
    expect(one.log.lines.filter((line) => line.includes('WRONGPASS'))).toHaveLength(1)
    await server.client().call('ACL', 'SETUSER', 'billing', '>wrong-password')
    await synchronized(one)
    await isCached(() => word.read('a', () => 'x'))
  })
})

describe('C23 a cache that is switched off', () => {
  test('loads at every read; invalidations go on, so nothing old is there when it is on again', async ({
    open,
  }) => {
    const { cache } = await open()
    const from = source()
    const word = cache.kind<string>('word', { ttl: '1m' })
    const read = () => word.read('a', () => from.load('a'))
    await isCached(read)
    cache.switchOff()
    expect(cache.enabled).toBe(false)
    from.word = 'new'
    expect(await read()).toMatchObject({ value: 'new', status: 'bypass' })
    await applied({ cache }, [word.ref('a')])
    from.word = 'newer'
    expect(await word.update('b', () => Promise.resolve('written'))).toBe('written')
    cache.switchOn()
    expect(await word.peek('a')).toBeUndefined()
    expect(await word.peek('b')).toBeUndefined()
    expect(await read()).toMatchObject({ value: 'newer', status: 'miss' })
    await isCached(read)
  })

  test('a load that was under way is not kept in the process', async ({ open }) => {
    const { cache } = await open()
    const word = cache.kind<string>('word', { ttl: '1m' })
    const { promise, resolve } = Promise.withResolvers<string>()
    const began = Promise.withResolvers<void>()
    const reading = word.getOrSet('a', () => (began.resolve(), promise))
    await began.promise
    cache.switchOff()
    resolve('x')
    expect(await reading).toBe('x')
    expect((await word.read('a', () => 'y')).status).toBe('bypass')
  })
})

describe('C23 a process that stood still', () => {
  test('takes an answer that came meanwhile for what it is', async ({ open }) => {
    const { cache } = await open()
    const word = cache.kind<string>('word', { ttl: '1m', l1: false })
    await inL2(() => word.read('a', () => 'x'))
    const reading = word.read('a', () => 'y')
    await Promise.resolve()
    await new Promise((resolve) => process.nextTick(resolve))
    standStill(300)
    expect(await reading).toMatchObject({ value: 'x', status: 'hit' })
  })

  test('reads nothing from L1 in its next turn, before there is a new proof', async ({ open }) => {
    const { cache } = await open()
    const word = cache.kind<string>('word', { ttl: '1m' })
    await inL1(() => word.read('a', () => 'x'))
    standStill(1_200)
    await turn()
    expect((await word.read('a', () => 'z')).tier).not.toBe('l1')
  })

  test('closed, it leaves nothing behind that keeps it alive, and reads go on', async ({
    open,
  }) => {
    const { cache, redis } = await open()
    const word = cache.kind<string>('word', { ttl: '1m' })
    await isCached(() => word.read('a', () => 'x'))
    const held = () =>
      process.getActiveResourcesInfo().filter((name) => name === 'Timeout' || name === 'Immediate')
    cache.close()
    await redis.close()
    expect(cache.synchronized).toBe(false)
    expect(await word.getOrSet('a', () => 'fresh')).toBe('fresh')
    expect((await cache.invalidate([word.ref('a')])).outcome).toBe('deferred')
    // Only the poll of this assertion itself.
    await eventually(() => expect(held().length).toBeLessThanOrEqual(1))
  })
})
