import { setImmediate as turn } from 'node:timers/promises'
import { eventually, failOver, snapshot, startProxy } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { everything, tag, type Cache, type LoadedKind, type Ref } from '../src/index.ts'
import { held, test } from './setup.ts'
import { applied, callsOf, grow, isCached, openSynchronized, source } from './support/caches.ts'

type Word = { text: string; of: string }
type Kinds = { word: LoadedKind<(id: string) => Promise<Word>> }

const define = (cache: Cache, load: (id: string) => Promise<Word>): Kinds =>
  cache.define({
    word: {
      load,
      key: (id: string) => ['group', id],
      ttl: '1m',
      tags: (id) => [`id:${id}`],
      valueTags: (word) => [`of:${word.of}`],
    },
  })

const paths: [string, (kinds: Kinds, cache: Cache) => Promise<unknown>][] = [
  ['key', ({ word }, cache) => invalidate(cache, [word.ref('a')])],
  ['tag', (_, cache) => invalidate(cache, [tag('id:a')])],
  ['tag computed from the value', (_, cache) => invalidate(cache, [tag('of:old')])],
  ['beginning of the key', ({ word }, cache) => invalidate(cache, [word.startingWith('group')])],
  ['pattern', (_, cache) => cache.invalidatePattern('word:group:*')],
  ['generation of its kind', ({ word }, cache) => invalidate(cache, [word.all()])],
  ['everything', (_, cache) => invalidate(cache, [everything])],
]
const invalidate = (cache: Cache, refs: Ref[]) => applied({ cache }, refs)

describe.for(paths)('C15 no stale fill, invalidated by %s', ([, act]) => {
  test.for(['the same process', 'another process'])(
    'a load that began before it leaves nothing, in %s',
    async (where, { open }) => {
      const [one, two] = [await open(), await open()]
      const load = held<Word>()
      const [here, there] = [define(one.cache, load.call), define(two.cache, load.call)]
      const loading = (where === 'the same process' ? here : there).word.get('a')
      const old = await load.next()
      await act(here, one.cache)
      old.resolve({ text: 'old', of: 'old' })
      expect(await loading).toEqual({ text: 'old', of: 'old' })

      const after = here.word.read('a')
      ;(await load.next()).resolve({ text: 'new', of: 'new' })
      expect(await after).toMatchObject({ value: { text: 'new' }, status: 'miss' })
      await isCached(() => there.word.read('a'))
      expect(await there.word.get('a')).toEqual({ text: 'new', of: 'new' })
    },
  )

  test('what lay in both tiers is gone from both, in both processes', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    let value: Word = { text: 'old', of: 'old' }
    const load = () => Promise.resolve(value)
    const [here, there] = [define(one.cache, load), define(two.cache, load)]
    await here.word.get('a')
    await there.word.get('a')
    value = { text: 'new', of: 'new' }
    await act(here, one.cache)
    expect(await here.word.read('a')).toMatchObject({ value, status: 'miss' })
    await there.word.get('a')
    let last = await there.word.get('a')
    for (let at = 0; last.text === 'old' && at < 2_000; at++) {
      await turn()
      last = await there.word.get('a')
    }
    expect(last).toEqual(value)
  })

  test('a read of Redis that is under way does not bring the old value into the process', async ({
    server,
  }) => {
    await using proxy = await startProxy(server)
    const service = `promote${paths.findIndex(([, one]) => one === act)}`
    await using one = await openSynchronized({ url: server.url, service })
    await using two = await openSynchronized({
      url: `redis://127.0.0.1:${proxy.port}`,
      subscriberUrl: server.url,
      service,
    })
    let value: Word = { text: 'old', of: 'old' }
    const load = () => Promise.resolve(value)
    const [here, there] = [define(one.cache, load), define(two.cache, load)]
    await here.word.get('a')
    await isCached(() => there.word.read('a'))
    two.cache.switchOff()
    two.cache.switchOn()
    // The answer is on its way back while the invalidation takes place.
    proxy.blackhole('replies')
    const raw = server.client()
    const before = await callsOf(raw, 'mget')
    const reading = there.word.read('a')
    await eventually(async () => expect(await callsOf(raw, 'mget')).toBeGreaterThan(before))
    value = { text: 'new', of: 'new' }
    await act(here, one.cache)
    await proxy.heal()
    await reading
    for (let at = 0; at < 20; at++) {
      await turn()
      expect((await there.word.read('a')).value).toEqual(value)
    }
  })
})

describe('C15 no stale fill', () => {
  test('a load from before a failover is not stored in the new history, its lease notwithstanding', async ({
    server,
  }) => {
    await using one = await openSynchronized({ url: server.url, service: 'dead-lease' })
    const load = held<string>()
    const plan = one.cache.define({
      word: { load: load.call, key: (id: string) => [id], ttl: '1m' },
    })
    const loading = plan.word.get('a')
    const old = await load.next()
    const raw = server.client()
    // A replica that has the lease, but will not have its deletion.
    const before = await snapshot(raw)
    await applied(one, [plan.word.ref('a')])
    await failOver(raw, before)
    old.resolve('old')
    expect(await loading).toBe('old')
    const after = plan.word.read('a')
    ;(await load.next()).resolve('new')
    expect((await after).value).toBe('new')
    await expect.poll(() => one.cache.statistics()['word']?.fillsRejected.epoch).toBe(1)
  })

  test('a refresh in the background that began before the invalidation leaves nothing', async ({
    open,
  }) => {
    const { cache, raw } = await open()
    const load = held<string>()
    const word = cache.kind<string>('word', { ttl: '10m' })
    const read = () => word.read('a', () => load.call('a'))
    await word.set('a', 'old')
    const { key } = await word.read('a', () => 'no')
    // Nothing of it is left in the process.
    cache.switchOff()
    cache.switchOn()
    await grow(raw, key, 510_000)
    expect(await read()).toMatchObject({ value: 'old', status: 'hit', tier: 'l2' })
    const refresh = await load.next()
    await applied({ cache }, [word.ref('a')])
    refresh.resolve('old')
    const after = read()
    ;(await load.next()).resolve('new')
    expect(await after).toMatchObject({ value: 'new', status: 'miss' })
    expect(await word.peek('a')).toBe('new')
  })

  test('a value set during a load is not replaced by what the load brings', async ({ open }) => {
    const { cache } = await open()
    const load = held<string>()
    const word = cache.kind<string>('word', { ttl: '1m' })
    const loading = word.getOrSet('a', () => load.call('a'))
    const old = await load.next()
    expect((await word.set('a', 'new')).outcome).toBe('applied')
    old.resolve('old')
    expect(await loading).toBe('old')
    expect(await word.peek('a')).toBe('new')
    expect(await word.getOrSet('a', () => load.call('a'))).toBe('new')
  })

  test('a lease that ran out and went to another does not let the first one fill', async ({
    server,
  }) => {
    const service = 'stolen'
    await using one = await openSynchronized({ url: server.url, service })
    await using two = await openSynchronized({ url: server.url, service })
    const [slow, quick] = [held<string>(), source('new')]
    const define = (cache: Cache, load: (id: string) => Promise<string>) =>
      cache.define({ word: { load, key: (id: string) => [id], ttl: '1m' } })
    const here = define(one.cache, slow.call)
    const there = define(two.cache, quick.load)
    const loading = here.word.get('a')
    const old = await slow.next()
    const raw = server.client()
    for (const lease of await raw.keys(`test:${service}:*~lease`)) await raw.del(lease)
    await isCached(() => there.word.read('a'))
    old.resolve('old')
    await loading
    await expect.poll(() => one.cache.statistics()['word']?.fillsRejected.lease).toBe(1)
    expect(await there.word.get('a')).toBe('new')
    expect(await here.word.get('a')).toBe('new')
  })
})
