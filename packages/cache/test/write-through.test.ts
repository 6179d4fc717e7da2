import { describe, expect } from 'vitest'
import { eventually, startProxy } from '@wattle/testkit'
import { everything, tag } from '../src/index.ts'
import { held, test } from './setup.ts'
import { applied, inL2, openSynchronized, source } from './support/caches.ts'

describe('C4 write-through', () => {
  test('what the write returned is in the cache, everywhere, and related entries are gone', async ({
    open,
  }) => {
    const [one, two] = [await open(), await open()]
    const from = source()
    const define = ({ cache }: typeof one) =>
      cache.define({
        word: { load: from.load, key: (id: string) => [id], ttl: '1m' },
        list: { load: from.load, key: (id: string) => [id], ttl: '1m', tags: () => ['lists'] },
      })
    const [here, there] = [define(one), define(two)]
    for (const kinds of [here, there]) {
      await kinds.word.get('a')
      await kinds.list.get('all')
    }
    const value = await here.word.update(['a'], () => Promise.resolve((from.word = 'new')), [
      tag('lists'),
    ])
    expect(value).toBe('new')
    const { reads } = from
    expect(await here.word.read('a')).toMatchObject({ value: 'new', status: 'hit', tier: 'l2' })
    expect(from.reads).toBe(reads)
    expect((await here.list.read('all')).status).toBe('miss')
    await eventually(async () => expect(await there.word.get('a')).toBe('new'))
    await eventually(async () => expect(await there.list.get('all')).toBe('new'))
  })

  test('when the write fails nothing is cached, the entry is gone, and the failure is passed on', async ({
    open,
  }) => {
    const { cache } = await open()
    const from = source()
    const plan = cache.define({ word: { load: from.load, key: (id: string) => [id], ttl: '1m' } })
    await plan.word.get('a')
    from.word = 'as the source has it'
    const failing = plan.word.update(['a'], () => Promise.reject(new Error('no')))
    await expect(failing).rejects.toThrow('no')
    expect(await plan.word.read('a')).toMatchObject({ status: 'miss', value: from.word })
  })

  test('of two writers in a race neither leaves a value that the source has not', async ({
    open,
  }) => {
    const [one, two] = [await open(), await open()]
    for (const order of ['first returns first', 'first returns last']) {
      const from = source()
      const write = held<string>()
      const kindOf = ({ cache }: typeof one) =>
        cache.define({
          [`word-${order.length}`]: { load: from.load, key: (id: string) => [id], ttl: '1m' },
        })
      const name = `word-${order.length}`
      const [here, there] = [kindOf(one)[name], kindOf(two)[name]]
      if (!here || !there) throw new Error('it was defined')
      const first = here.update(['a'], () => write.call('first'))
      const firstWrite = await write.next()
      const second = there.update(['a'], () => write.call('second'))
      const secondWrite = await write.next()
      // The source takes the second one last, whichever comes back first.
      from.word = 'second'
      if (order === 'first returns first') {
        firstWrite.resolve('first')
        await first
        secondWrite.resolve('second')
        await second
      } else {
        secondWrite.resolve('second')
        await second
        firstWrite.resolve('first')
        await first
      }
      await eventually(async () => expect(await here.get('a')).toBe('second'))
      await eventually(async () => expect(await there.get('a')).toBe('second'))
    }
  })

  test('an invalidation during the write keeps its value out', async ({ open }) => {
    const { cache } = await open()
    const from = source()
    const write = held<string>()
    const plan = cache.define({ word: { load: from.load, key: (id: string) => [id], ttl: '1m' } })
    const updating = plan.word.update(['a'], () => write.call('a'))
    const mine = await write.next()
    from.word = 'newer, by somebody else'
    await applied({ cache }, [plan.word.ref('a')])
    mine.resolve('mine')
    expect(await updating).toBe('mine')
    expect(await plan.word.get('a')).toBe('newer, by somebody else')
  })

  test.for([
    'tag',
    'value tag',
    'expired tag',
    'kind',
    'everything',
    'beginning',
    'pattern',
  ] as const)('nor does one by %s leave it in any process', async (how, { open }) => {
    const [one, two] = [await open(), await open()]
    const row = { owner: 'ada', text: 'old' }
    const write = held<typeof row>()
    const define = ({ cache }: typeof one) =>
      cache.define({
        row: {
          load: async (_id: string) => ({ ...row }),
          key: (id) => [id, 'x'],
          ttl: '1h',
          tags: (id) => [`named:${id}`],
          valueTags: ({ owner }) => [`of:${owner}`],
        },
      }).row
    const [here, there] = [define(one), define(two)]
    const updating = here.update(['a'], () => write.call('a'))
    const mine = await write.next()
    row.text = 'newer, by another process'
    if (how === 'pattern') await two.cache.invalidatePattern('row:a:*')
    else {
      const refs = {
        tag: tag('named:a'),
        'value tag': tag('of:ada'),
        'expired tag': tag('named:a', 'expire'),
        kind: there.all(),
        everything,
        beginning: there.startingWith('a'),
      }
      await applied(two, [refs[how]])
    }
    mine.resolve({ owner: 'ada', text: 'mine' })
    await updating
    expect((await here.get('a')).text).toBe(row.text)
    expect((await there.get('a')).text).toBe(row.text)
  })

  test('a value that cannot be cached is written all the same, and the old one is gone', async ({
    open,
  }) => {
    const { cache } = await open()
    type Thing = { name: string; act?: () => void }
    const thing = cache.kind<Thing>('thing', {
      ttl: '1m',
      valueTags: ({ name }) => [name.toUpperCase()],
    })
    await thing.set('a', { name: 'old' })
    const written = await thing.update('a', () => Promise.resolve({ name: 'new', act() {} }))
    expect(written.name).toBe('new')
    expect(await thing.peek('a')).toBeUndefined()
    await thing.set('a', { name: 'old' })
    const nameless = {} as Thing
    expect(await thing.update('a', () => Promise.resolve(nameless))).toBe(nameless)
    expect(await thing.peek('a')).toBeUndefined()
  })

  test('while Redis is away the write goes on, and nobody is told an old value after its return', async ({
    server,
  }) => {
    await using proxy = await startProxy(server)
    await using one = await openSynchronized({
      url: `redis://127.0.0.1:${proxy.port}`,
      service: 'write-away',
    })
    const from = source()
    const plan = one.cache.define({
      word: { load: from.load, key: (id: string) => [id], ttl: '1m', l1: false },
    })
    await inL2(() => plan.word.read('a'))
    await proxy.refuse()
    from.word = 'new'
    expect(await plan.word.update(['a'], () => Promise.resolve('new'))).toBe('new')
    await proxy.heal()
    await eventually(async () => {
      const { value, status } = await plan.word.read('a')
      if (value !== 'new') throw Object.assign(new Error('stale'), { value })
      expect(status).toBe('hit')
    })
  })

  test('a writer that is killed holds up readers for no longer than a loader would', async ({
    server,
  }) => {
    const service = 'dead-writer'
    const one = await openSynchronized({ url: server.url, service })
    await using two = await openSynchronized({ url: server.url, service })
    const from = source()
    const word = one.cache.kind<string>('word', { ttl: '1m' })
    const there = two.cache.kind<string>('word', { ttl: '1m' })
    const write = held<string>()
    void word.update('a', () => write.call('a'))
    await write.next()
    // What is left of a killed process: the lease that it had.
    await one.close()
    const started = performance.now()
    expect(await there.getOrSet('a', () => from.load('a'))).toBe('old')
    expect(performance.now() - started).toBeLessThan(4_000)
  })
})
