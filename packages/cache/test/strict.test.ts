import { eventually, failOver, snapshot, startProxy } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { tag, type Cache } from '../src/index.ts'
import { test } from './setup.ts'
import { startFleet } from './support/fleet.ts'
import {
  inL1,
  applied,
  inL2,
  isCached,
  openSynchronized,
  source,
  synchronized,
} from './support/caches.ts'

describe('C13 strict kinds', () => {
  const kindOf = (cache: Cache) =>
    cache.kind<string>('word', { ttl: '1m', l1: false, strict: true, valueTags: () => ['t'] })

  test('after a failover nothing from before it is read, by any process', async ({ server }) => {
    const service = 'strict'
    await using one = await openSynchronized({ url: server.url, service })
    await using two = await openSynchronized({ url: server.url, service })
    const [mine, theirs] = [kindOf(one.cache), kindOf(two.cache)]
    const raw = server.client()
    for (const how of ['key', 'tag', 'kind'] as const) {
      const from = source()
      const load = () => from.load('a')
      await Promise.all([synchronized(one), synchronized(two)])
      await inL2(() => mine.read('a', load))
      const before = await snapshot(raw)
      from.word = `new by ${how}`
      await applied(one, [{ key: mine.ref('a'), tag: tag('t'), kind: mine.all() }[how]])
      // The other one’s connection stays; it does not know of the failover.
      await failOver(raw, before)
      for (let read = 0; read < 20; read++) expect(await theirs.getOrSet('a', load)).toBe(from.word)
      for (let read = 0; read < 20; read++) expect(await mine.getOrSet('a', load)).toBe(from.word)
      await applied(one, [mine.all()])
    }
  })

  test('what is loaded in the new history is kept again', async ({ server }) => {
    await using one = await openSynchronized({ url: server.url, service: 'strict-again' })
    const word = kindOf(one.cache)
    const raw = server.client()
    await inL2(() => word.read('a', () => 'x'))
    await failOver(raw, await snapshot(raw))
    await eventually(async () =>
      expect(await word.read('a', () => 'y')).toMatchObject({ value: 'y', status: 'hit' }),
    )
  })

  test('past the trust window without a proof nothing is read from Redis', async ({ server }) => {
    let aheadMs = 0
    await using proxy = await startProxy(server)
    await using one = await openSynchronized({
      url: server.url,
      subscriberUrl: `redis://127.0.0.1:${proxy.port}`,
      service: 'strict-window',
      now: () => performance.now() + aheadMs,
    })
    const word = kindOf(one.cache)
    await inL2(() => word.read('a', () => 'x'))
    await proxy.refuse()
    aheadMs = 1_500
    expect(await word.read('a', () => 'y')).toMatchObject({ value: 'y', status: 'bypass' })
  })
})

describe('C13 the L1 of another process', () => {
  test('forgets what is invalidated, by every path', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    const from = source()
    const line = {
      load: from.load,
      key: (id: string) => ['g', id],
      ttl: '1m',
      tags: () => ['t'],
    } as const
    const [here, there] = [one.cache.define({ word: line }), two.cache.define({ word: line })]
    const acts = [
      () => one.cache.invalidate([here.word.ref('a')]),
      () => one.cache.invalidate([tag('t')]),
      () => one.cache.invalidate([here.word.all()]),
      () => one.cache.invalidatePattern('word:g:*'),
      () => here.word.update(['a'], () => Promise.resolve(from.word)),
    ]
    for (const [at, act] of acts.entries()) {
      await inL1(() => there.word.read('a'))
      from.word = `v${at}`
      await act()
      await eventually(async () => expect(await there.word.get('a')).toBe(`v${at}`))
    }
  })

  test('is not read while a message may be missing, nor without a proof of synchrony', async ({
    server,
  }) => {
    let aheadMs = 0
    await using one = await openSynchronized({
      url: server.url,
      service: 'unproven',
      now: () => performance.now() + aheadMs,
    })
    const word = one.cache.kind<string>('word', { ttl: '1m' })
    const read = () => word.read('a', () => 'x')
    await inL1(() => read())
    aheadMs = 1_100
    expect((await read()).tier).not.toBe('l1')
    await inL1(() => read())
  })

  test('a process that was stopped for longer than the window reads nothing from it at first', async ({
    server,
  }) => {
    const service = 'stopped'
    await using one = await openSynchronized({ url: server.url, service })
    await using fleet = await startFleet(server.url, service, 1)
    const [member] = fleet.members
    if (!member) throw new Error('there is one')
    const word = one.cache.kind<string>('word', { ttl: '10m' })
    const tier = (fresh: string) => member.ask({ do: 'tier', key: 'a', word: fresh })
    await eventually(async () => expect(await tier('old')).toBe('l1 old'))
    member.freeze()
    const frozenAt = performance.now()
    await applied(one, [word.ref('a')])
    await eventually(() => expect(performance.now() - frozenAt).toBeGreaterThan(2_500))
    // The question waits for it, and is what it does first.
    const asked = tier('new')
    member.thaw()
    expect(await asked).toMatch(/^(l2|source) new$/)
  })

  test('a tag is known as long as an entry carries it, however many others come and go', async ({
    open,
  }) => {
    const { cache } = await open()
    const from = source()
    const word = cache.kind<string>('word', { ttl: '1m' })
    // As many tags as are remembered without entries; the first is the next to be forgotten.
    const names = Array.from({ length: 8_192 }, (_, at) => `t${at}`)
    await applied(
      { cache },
      names.map((name) => tag(name)),
    )
    const read = () => word.read('a', () => from.load('a'), { tags: ['t0', 'fresh'] })
    await isCached(read)
    await inL1(() => read())
    from.word = 'new'
    await applied({ cache }, [tag('t0')])
    expect(await read()).toMatchObject({ value: 'new', status: 'miss' })
  })
})
