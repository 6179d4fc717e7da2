import { keySpace } from '@wattle/redis'
import { eventually, startCluster, startRedis, startSentinelGroup } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { everything, tag, type Ref } from '../src/index.ts'
import { held } from './setup.ts'
import {
  inL1,
  applied,
  inL2,
  isCached,
  openSynchronized,
  source,
  type Opened,
} from './support/caches.ts'

type Driver = { url: string; stop(): Promise<void> }
const drivers: Record<string, () => Promise<Driver>> = {
  'a single Redis': () => startRedis(),
  async 'a Sentinel group'() {
    const group = await startSentinelGroup()
    return { url: group.urlFor('billing'), stop: () => group.stop() }
  },
  'a Cluster of three masters': () => startCluster(),
}

describe.each(Object.keys(drivers))('C24 the cache on %s', (name) => {
  let driver: Driver
  let one: Opened
  let two: Opened
  let tests = 0
  beforeAll(async () => {
    const start = drivers[name]
    if (!start) throw new Error('there is no such driver')
    driver = await start()
    const open = () => openSynchronized({ url: driver.url, service: 'billing' })
    ;[one, two] = await Promise.all([open(), open()])
  })
  afterAll(async () => {
    await Promise.all([one.close(), two.close()])
    await driver.stop()
  })
  const kindsOf = <V>(options: object = {}) => {
    tests += 1
    const kindOf = ({ cache }: Opened) => cache.kind<V>(`kind${tests}`, { ttl: '1m', ...options })
    return [kindOf(one), kindOf(two)] as const
  }
  const ids = Array.from({ length: 40 }, (_, at) => `id${at}`)

  test('what one process loads the other reads from Redis, then from its own L1', async () => {
    const [mine, theirs] = kindsOf<string>()
    for (const id of ids) await mine.getOrSet(id, () => `v ${id}`)
    await Promise.all(ids.map((id) => isCached(() => theirs.read(id, () => `v ${id}`))))
    expect(await Promise.all(ids.map((id) => theirs.getOrSet(id, () => 'no')))).toEqual(
      ids.map((id) => `v ${id}`),
    )
    await inL1(() => theirs.read('id0', () => 'no'))
  })

  test.each(['key', 'tag', 'value tag', 'kind', 'beginning', 'everything'] as const)(
    'an invalidation by %s reaches both tiers of both processes',
    async (how) => {
      const [mine, theirs] = kindsOf<{ text: string }>({ valueTags: () => [`v:${how}`] })
      const from = source()
      const load = () => ({ text: from.word })
      const read = (kind: typeof mine, id: string) =>
        kind.read(['g', id], load, { tags: [`t:${how}`] })
      for (const kind of [mine, theirs]) {
        await Promise.all(ids.map((id) => isCached(() => read(kind, id))))
      }
      from.word = 'new'
      const refs: Record<typeof how, Ref[]> = {
        key: ids.map((id) => mine.ref(['g', id])),
        tag: [tag(`t:${how}`)],
        'value tag': [tag(`v:${how}`)],
        kind: [mine.all()],
        beginning: [mine.startingWith('g')],
        everything: [everything],
      }
      await applied(one, refs[how])
      for (const id of ids) expect((await read(mine, id)).value).toEqual({ text: 'new' })
      await eventually(async () => {
        for (const id of ids) expect((await read(theirs, id)).value).toEqual({ text: 'new' })
      })
    },
  )

  test.each(['key', 'tag', 'kind', 'everything'] as const)(
    'a load that began before an invalidation by %s, in either process, leaves nothing',
    async (how) => {
      const [mine, theirs] = kindsOf<string>()
      const load = held<string>()
      const read = (kind: typeof mine) =>
        kind.getOrSet('a', () => load.call('a'), { tags: [`f:${how}`] })
      for (const kind of [mine, theirs]) {
        const loading = read(kind)
        const old = await load.next()
        const refs = { key: mine.ref('a'), tag: tag(`f:${how}`), kind: mine.all(), everything }
        await applied(one, [refs[how]])
        old.resolve('old')
        expect(await loading).toBe('old')
        const after = read(mine)
        ;(await load.next()).resolve('new')
        expect(await after).toBe('new')
        await eventually(async () => expect(await theirs.peek('a')).toBe('new'))
        await applied(one, [mine.all()])
        await eventually(async () => expect(await theirs.peek('a')).toBeUndefined())
      }
    },
  )

  test('a strict kind is kept and invalidated as others are', async () => {
    const [mine, theirs] = kindsOf<string>({ strict: true, l1: false })
    await Promise.all(ids.map((id) => inL2(() => mine.read(id, () => 'old'))))
    for (const id of ids) expect(await theirs.getOrSet(id, () => 'no')).toBe('old')
    await applied(two, [theirs.all()])
    for (const id of ids) expect(await mine.peek(id)).toBeUndefined()
  })

  test('set, many, update, compareAndSet, touch, delete and counters', async () => {
    const [mine, theirs] = kindsOf<string>()
    expect((await mine.setMany(ids.map((id) => [id, id] as const))).outcome).toBe('applied')
    expect(await theirs.getMany([...ids, 'absent'])).toEqual([...ids, undefined])
    expect(await mine.update('id0', () => Promise.resolve('written'))).toBe('written')
    expect(await mine.peek('id0')).toBe('written')
    expect(await theirs.compareAndSet('id1', 'id1', 'swapped')).toBe(true)
    expect(await theirs.compareAndSet('id1', 'id1', 'again')).toBe(false)
    expect(await theirs.touch('id2')).toBe(true)
    await mine.delete('id2')
    expect(await mine.has('id2')).toBe(false)
    const [here, there] = [one, two].map(({ cache }) => cache.counter(`n${tests}`, { ttl: '1m' }))
    if (!here || !there) throw new Error('it was made')
    await Promise.all(ids.map((id) => here.increment(id, 2)))
    expect(await there.increment('id7')).toBe(3)
  })

  test('a miss in both processes is one load', async () => {
    const [mine, theirs] = kindsOf<string>()
    const load = held<string>()
    const first = mine.getOrSet('a', () => load.call('a'))
    const loading = await load.next()
    const second = theirs.getOrSet('a', () => load.call('a'))
    await eventually(() =>
      expect(two.cache.statistics()[theirs.name]?.leaseWaits).toBeGreaterThan(0),
    )
    loading.resolve('x')
    expect(await Promise.all([first, second])).toEqual(['x', 'x'])
    expect(load.calls).toBe(1)
  })

  test('a token is honoured by the other process', async () => {
    const [mine, theirs] = kindsOf<string>()
    const from = source()
    const load = () => from.load('a')
    for (let version = 0; version < 20; version++) {
      await theirs.getOrSet('a', load)
      from.word = `v${version}`
      const after = await applied(one, [mine.ref('a'), tag('any')])
      expect(await theirs.getOrSet('a', load, { after })).toBe(`v${version}`)
    }
  })

  test('every key lies in the namespace, and what a script touches in one slot', async () => {
    const { client } = one.redis
    const nodes = 'nodes' in client ? client.nodes('master') : [client]
    const keys = (await Promise.all(nodes.map((node) => node.scan('0', 'COUNT', 10_000)))).map(
      ([, found]) => found,
    )
    const { prefix } = keySpace({ environment: 'test', service: 'billing' })
    for (const key of keys.flat()) expect(key.startsWith(prefix)).toBe(true)
    // On a Cluster the load lies on all masters.
    for (const found of keys) expect(found.length).toBeGreaterThan(0)
  })
})
