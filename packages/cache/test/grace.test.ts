import { eventually } from '@wattle/testkit'
import type { Redis } from 'ioredis'
import { describe, expect } from 'vitest'
import { everything, LoadTimeoutError, tag, type Cache, type Kind } from '../src/index.ts'
import { held, test } from './setup.ts'
import { inL1, applied, grow, inL2 } from './support/caches.ts'

const options = { ttl: '1m', grace: '10m', l1: false } as const

/** An entry `old` that has been in Redis for so long. */
async function putOld(word: Kind<string>, raw: Redis, ageMs = 61_000): Promise<void> {
  const { key } = await word.read('a', () => 'old')
  await inL2(() => word.read('a', () => 'no'))
  await grow(raw, key, ageMs)
}

/** An entry with the tag `t`. */
function tagged(cache: Cache, l1 = false) {
  const word = cache.kind<string>('word', { ...options, l1 })
  const read = (load: () => Promise<string> | string) => word.read('a', load, { tags: ['t'] })
  return { word, read }
}

const away = () => Promise.reject(new Error('the source is away'))

describe('C7 grace', () => {
  test('a value past its TTL is served, marked as stale, when the load fails', async ({ open }) => {
    const { cache, raw } = await open()
    const word = cache.kind<string>('word', options)
    await putOld(word, raw)
    const failing = await word.read('a', away)
    expect(failing).toMatchObject({ value: 'old', status: 'stale', tier: 'l2', ttlMs: 0 })
    expect(failing.ageMs).toBeGreaterThanOrEqual(61_000)
    expect(cache.statistics()['word']?.stale).toBe(1)
    expect(await word.read('a', () => 'new')).toMatchObject({ value: 'new', status: 'miss' })
  })

  test('and when the load is slower than the soft timeout; the load goes on, and its value is kept', async ({
    open,
  }) => {
    const { cache, raw } = await open()
    const load = held<string>()
    const word = cache.kind<string>('word', { ...options, softTimeout: '50ms' })
    await putOld(word, raw)
    const first = word.read('a', () => load.call('a'))
    const slow = await load.next()
    expect(await first).toMatchObject({ value: 'old', status: 'stale' })
    // Who comes while it still loads is told the same.
    expect(await word.read('a', () => load.call('a'))).toMatchObject({
      value: 'old',
      status: 'stale',
    })
    slow.resolve('new')
    await eventually(async () => expect(await word.peek('a')).toBe('new'))
    expect(load.calls).toBe(1)
  })

  test('another process that finds the lease taken gets it at once', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    const load = held<string>()
    const [here, there] = [one, two].map(({ cache }) =>
      cache.kind<string>('word', { ...options, softTimeout: '10s' }),
    )
    if (!here || !there) throw new Error('it was defined')
    await putOld(here, one.raw)
    const first = here.read('a', () => load.call('a'))
    const slow = await load.next()
    expect(await there.read('a', () => load.call('a'))).toMatchObject({ status: 'stale' })
    slow.resolve('new')
    expect(await first).toMatchObject({ value: 'new', status: 'miss' })
    expect(load.calls).toBe(1)
  })

  test('past its grace it is not served', async ({ open }) => {
    const { cache, raw } = await open()
    const word = cache.kind<string>('word', options)
    await putOld(word, raw, 12 * 60_000)
    const failing = word.read('a', away)
    await expect(failing).rejects.toThrow('the source is away')
  })

  test.for(['key', 'tag', 'kind', 'everything'])(
    'an invalidated value is not served, whatever the load does: by %s',
    async (how, { open }) => {
      const { cache } = await open()
      const { word, read } = tagged(cache)
      await read(() => 'old')
      await inL2(() => read(() => 'no'))
      const refs = { key: word.ref('a'), tag: tag('t'), kind: word.all(), everything }
      await applied({ cache }, [refs[how as keyof typeof refs]])
      await expect(read(away)).rejects.toThrow('away')
    },
  )

  test('a tag that is expired, not deleted, leaves stale values for their grace', async ({
    open,
  }) => {
    const { cache } = await open()
    const { read } = tagged(cache)
    await read(() => 'old')
    await inL2(() => read(() => 'no'))
    await applied({ cache }, [tag('t', 'expire')])
    expect(await read(away)).toMatchObject({
      value: 'old',
      status: 'stale',
    })
    expect(await read(() => 'new')).toMatchObject({ value: 'new', status: 'miss' })
    await inL2(() => read(() => 'no'))
    await applied({ cache }, [tag('t', 'expire')])
    await applied({ cache }, [tag('t')])
    await expect(read(away)).rejects.toThrow('away')
  })

  test('a value kept in the process is not served either once its tag has been expired', async ({
    open,
  }) => {
    const { cache } = await open()
    const { read } = tagged(cache, true)
    await inL1(() => read(() => 'old'))
    await applied({ cache }, [tag('t', 'expire')])
    expect(await read(() => 'new')).toMatchObject({ value: 'new', status: 'miss' })
  })
})

describe('C7 grace and an invalidation meanwhile', () => {
  test('who asks after it waits for a new load, and is not given what was stale before', async ({
    open,
  }) => {
    const { cache, raw } = await open()
    const load = held<string>()
    const word = cache.kind<string>('word', { ...options, softTimeout: '50ms' })
    await putOld(word, raw)
    const first = word.read('a', () => load.call('a'))
    const slow = await load.next()
    expect(await first).toMatchObject({ value: 'old', status: 'stale' })
    await applied({ cache }, [word.ref('a')])
    const second = word.read('a', () => load.call('a'))
    const anew = await load.next()
    slow.resolve('old too')
    anew.resolve('new')
    expect(await second).toMatchObject({ value: 'new', status: 'miss' })
    await eventually(async () => expect(await word.peek('a')).toBe('new'))
  })
})

describe('C7 the hard timeout', () => {
  test('bounds every load; readers get a LoadTimeoutError, and the late value is not kept', async ({
    open,
  }) => {
    const { cache } = await open()
    const load = held<string>()
    const word = cache.kind<string>('word', { ttl: '1m', hardTimeout: '100ms' })
    const reading = word.getOrSet('a', () => load.call('a'))
    const late = await load.next()
    const failure = await reading.catch((cause: unknown) => cause)
    expect(failure).toBeInstanceOf(LoadTimeoutError)
    expect(failure).toMatchObject({ code: 'load_timeout' })
    expect((failure as Error).message).toMatch(/word.*100 ms/)
    late.resolve('late')
    expect(await word.peek('a')).toBeUndefined()
    expect(await word.getOrSet('a', () => 'anew')).toBe('anew')
  })

  test('within its grace they get the stale value instead', async ({ open }) => {
    const { cache, raw } = await open()
    const word = cache.kind<string>('word', {
      ...options,
      softTimeout: '10s',
      hardTimeout: '100ms',
    })
    await putOld(word, raw)
    const hanging = word.read('a', () => new Promise<string>(() => {}))
    expect(await hanging).toMatchObject({ value: 'old', status: 'stale' })
  })
})
