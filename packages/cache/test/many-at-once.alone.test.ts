import { randomBytes } from 'node:crypto'
import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import type { Cache, CallOptions, Kind } from '../src/index.ts'
import { test } from './setup.ts'
import { openSynchronized, source, synchronized, type Opened } from './support/caches.ts'

const here = { ttl: '1m', l1: false } as const
const heavy = { ...here, compressAbove: Number.MAX_SAFE_INTEGER } as const
const megabyte = randomBytes(768 * 1024).toString('base64')
const namesOf = (count: number) => Array.from({ length: count }, (_, at) => `k${at}`)
const noLoad = () => 'it was loaded'

/** By one call: on a busy machine the first attempt may take too long. */
const setAll = (
  kind: Kind<string>,
  names: readonly string[],
  value: (name: string) => string,
  options?: CallOptions,
) =>
  eventually(
    async () => {
      const entries = names.map((name) => [name, value(name)] as const)
      expect((await kind.setMany(entries, options)).outcome).toBe('applied')
    },
    { withinMs: 20_000 },
  )

/** In a process that has read nothing yet. On a busy machine the first one may be too slow. */
const readAll = (
  open: () => Promise<Opened>,
  kind: string,
  options: Parameters<Cache['kind']>[1],
  names: readonly string[],
) =>
  eventually(
    async () => {
      await using reader = await open()
      const word = reader.cache.kind<string>(kind, options)
      const found = await Promise.all(names.map((name) => word.read(name, noLoad)))
      expect(new Set(found.map(({ status }) => status))).toEqual(new Set(['hit']))
      // Nothing that was asked made Redis look as if it were away.
      expect(reader.log.lines.join('\n')).not.toMatch(/is not asked|is away/)
      return found.map(({ value }) => value)
    },
    { withinMs: 20_000 },
  )

describe('C2 more at once than one command holds', () => {
  test('50,000 entries by one setMany are applied, and 50,000 read at once are hits', async ({
    server,
  }) => {
    const open = () => openSynchronized({ url: server.url, service: 'crowd' })
    await using writer = await open()
    const names = namesOf(50_000)
    await setAll(writer.cache.kind('word', here), names, (name) => `v ${name}`)
    const found = await readAll(open, 'word', here, names)
    expect(found).toEqual(names.map((name) => `v ${name}`))
  })

  test('so are 4,000 with 50 tags each', async ({ server }) => {
    const open = () => openSynchronized({ url: server.url, service: 'tags' })
    await using writer = await open()
    const tags = Array.from({ length: 50 }, (_, at) => `tag ${at}`)
    const names = namesOf(4_000)
    await setAll(writer.cache.kind('word', here), names, () => 'v', { tags })
    await readAll(open, 'word', here, names)
  })

  test.for([false, true])(
    '50 values of 1 MB by one setMany are applied, and 100 read at once are hits; strict: %s',
    async (strict, { server }) => {
      const open = () => openSynchronized({ url: server.url, service: `heavy-${strict}` })
      const options = { ...heavy, strict }
      await using writer = await open()
      const blob = writer.cache.kind<string>('blob', options)
      const names = namesOf(100)
      for (const from of [0, 50]) {
        await setAll(blob, names.slice(from, from + 50), (name) => `${name} ${megabyte}`)
      }
      const found = await readAll(open, 'blob', options, names)
      for (const [at, value] of found.entries()) expect(value.startsWith(`k${at} `)).toBe(true)
      await setAll(blob, names, () => 'gone')
    },
  )

  test('100 loaded values of 1 MB are stored', async ({ server }) => {
    const open = () => openSynchronized({ url: server.url, service: 'fills' })
    await using one = await open()
    const blob = one.cache.kind<string>('blob', heavy)
    const names = namesOf(100)
    await Promise.all(names.map((name) => blob.getOrSet(name, () => `${name} ${megabyte}`)))
    await readAll(open, 'blob', heavy, names)
    await setAll(blob, names, () => 'gone')
  })

  test('values a thousand times as large as those before are read in the end', async ({
    server,
  }) => {
    await using one = await openSynchronized({ url: server.url, service: 'growing' })
    await using other = await openSynchronized({ url: server.url, service: 'growing' })
    const [writer, reader] = [one, other].map(({ cache }) => cache.kind<string>('blob', heavy))
    const names = namesOf(100)
    await setAll(writer!, names, () => 'x'.repeat(1_000))
    await eventually(async () => expect(await reader!.getMany(names)).not.toContain(undefined))
    await setAll(writer!, names, () => megabyte)
    await eventually(
      async () => {
        const found = await Promise.all(names.map((name) => reader!.read(name, noLoad)))
        expect(new Set(found.map(({ status }) => status))).toEqual(new Set(['hit']))
      },
      { withinMs: 20_000 },
    )
    await setAll(writer!, names, () => 'gone')
  })
})

describe('C23 thousands wait for their turn when Redis stops', () => {
  test.for(['of a few bytes', 'of 1 MB'])(
    'all readers of values %s are answered by the source in bounded time, and loads are capped',
    async (size, { server }) => {
      await using one = await openSynchronized({ url: server.url, service: 'stopped', loads: 10 })
      const kind = one.cache.kind<string>('word', heavy)
      const value = size === 'of 1 MB' ? megabyte : 'x'
      await kind.set('seen', value)
      await eventually(async () => expect((await kind.read('seen', noLoad)).status).toBe('hit'))
      let active = 0
      let most = 0
      const load = async () => {
        most = Math.max(most, ++active)
        await Promise.resolve()
        active--
        return 'from the source'
      }
      server.freeze()
      try {
        const started = performance.now()
        const found = await Promise.all(namesOf(5_000).map((name) => kind.read(name, load)))
        // 70 ms are promised beside the loads themselves; the machine may be busy.
        expect(performance.now() - started).toBeLessThan(1_000)
        expect(new Set(found.map((outcome) => outcome.value))).toEqual(new Set(['from the source']))
        expect(new Set(found.map(({ status }) => status))).toEqual(new Set(['bypass']))
        expect(most).toBeLessThanOrEqual(10)
      } finally {
        server.thaw()
      }
      await synchronized(one)
    },
  )

  test('a setMany of 50,000 is deferred as a whole in bounded time, and nothing old is read after', async ({
    server,
  }) => {
    await using one = await openSynchronized({ url: server.url, service: 'deferred' })
    const word = one.cache.kind<string>('word', here)
    await word.set('k49999', 'old')
    server.freeze()
    try {
      const started = performance.now()
      const { outcome } = await word.setMany(namesOf(50_000).map((name) => [name, 'new']))
      expect(outcome).toBe('deferred')
      // 500 announcements of 100 ms each would be 50 s.
      expect(performance.now() - started).toBeLessThan(3_000)
    } finally {
      server.thaw()
    }
    await eventually(async () => expect(await word.peek('k49999')).toBeUndefined())
    await synchronized(one)
  })

  test.for([false, true])(
    'who waited until nothing was proven any more does not read from Redis; strict: %s',
    async (strict, { server }) => {
      let aheadMs = 0
      let stepMs = 0
      const now = () => performance.now() + (aheadMs += stepMs)
      await using one = await openSynchronized({ url: server.url, service: `late-${strict}`, now })
      const from = source()
      const word = one.cache.kind<string>('word', { ...here, ttl: '7d', strict })
      const names = namesOf(5_000)
      await word.setMany(names.map((name) => [name, 'kept']))
      expect(await word.peek('k0')).toBe('kept')
      const reading = Promise.all(names.map((name) => word.read(name, () => from.load(name))))
      // All have begun. From now on no proof lasts until the clock is looked at again.
      stepMs = 6_000
      const found = await reading
      stepMs = 0
      const statuses = found.map(({ status }) => status)
      const inTime = statuses.indexOf('bypass')
      expect(inTime).toBeGreaterThan(0)
      expect(new Set(statuses.slice(0, inTime))).toEqual(new Set(['hit']))
      expect(new Set(statuses.slice(inTime))).toEqual(new Set(['bypass']))
    },
  )
})
