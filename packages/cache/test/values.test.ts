import { describe, expect } from 'vitest'
import { eventually } from '@wattle/testkit'
import { test } from './setup.ts'
import { inL1, isCached, openSynchronized } from './support/caches.ts'

const nested = new Map<unknown, unknown>([
  ['when', new Date(5)],
  ['who', new Set(['ada', 1n, new Map([[{ a: 1 }, null]])])],
])
const values: [string, unknown][] = [
  ['null', null],
  ['zero', 0],
  ['minus zero', -0],
  ['not a number', Number.NaN],
  ['infinity', Number.NEGATIVE_INFINITY],
  ['an empty string', ''],
  ['a string with everything', 'ŋ \u0000\u2028 "\\ 😀 \ud800'],
  ['false', false],
  ['a date', new Date(1_234_567)],
  ['a big integer', 2n ** 100n],
  ['bytes', Buffer.from([0, 255, 10, 13])],
  ['a typed array', new Uint16Array([1, 65_535])],
  ['a map', new Map([['a', { b: 1 }]])],
  ['a set', new Set([1, '1'])],
  ['nested ones', { deep: [nested, { at: [new Date(0)] }] }],
  ['a property that is undefined', { a: undefined, b: 1 }],
  ['a list with undefined', [undefined, 1]],
  ['a list with holes filled by null', [null, 1]],
  ['an object with the name __proto__', JSON.parse('{"__proto__":{"a":1},"b":2}')],
  ['numbers at the edge', [Number.MAX_SAFE_INTEGER, 5e-324, 1.7976931348623157e308, 0.1 + 0.2]],
  ['an error', new RangeError('far')],
  ['a regular expression', /a+/giu],
]

describe('C2 values', () => {
  test.for(values)(
    '%s comes back as it went in, from each tier',
    async ([name, value], { open }) => {
      const [one, two] = [await open(), await open()]
      const load = () => Promise.resolve(structuredCloneOf(value))
      const [here, there] = [one, two].map(({ cache }) =>
        cache.kind<unknown>('thing', { ttl: '1m' }),
      )
      if (!here || !there) throw new Error('it was defined')
      const same = (got: unknown) => expect(comparable(got), name).toEqual(comparable(value))
      same(await here.getOrSet('a', load))
      await isCached(() => here.read('a', load))
      const fromL1 = await here.read('a', load)
      expect(fromL1.tier).toBe('l1')
      same(fromL1.value)
      await eventually(async () => expect(await one.raw.exists(fromL1.key)).toBe(1))
      const fromL2 = await there.read('a', load)
      expect(fromL2).toMatchObject({ status: 'hit', tier: 'l2' })
      same(fromL2.value)
      await here.set('b', structuredCloneOf(value))
      same(await there.peek('b'))
    },
  )

  test('a plain value is frozen: changing it throws, and reaches neither cache nor reader', async ({
    open,
  }) => {
    const [one, two] = [await open(), await open()]
    const load = () => Promise.resolve({ list: [{ n: 1 }], name: 'ada' })
    for (const { cache } of [one, two]) {
      const thing = cache.kind<{ list: { n: number }[]; name: string }>('thing', { ttl: '1m' })
      for (let read = 0; read < 3; read++) {
        const value = await thing.getOrSet('a', load)
        expect(() => (value.name = 'bola')).toThrow(TypeError)
        expect(() => value.list.push({ n: 2 })).toThrow(TypeError)
        expect(() => ((value.list[0] as { n: number }).n = 5)).toThrow(TypeError)
        await isCached(() => thing.read('a', load))
      }
      expect(await thing.peek('a')).toEqual({ list: [{ n: 1 }], name: 'ada' })
    }
  })

  test('of a rich value each reader has a copy of its own', async ({ open }) => {
    const { cache } = await open()
    const thing = cache.kind<{ when: Date }>('thing', { ttl: '1m' })
    const load = () => Promise.resolve({ when: new Date(5) })
    const together = await Promise.all(Array.from({ length: 3 }, () => thing.getOrSet('a', load)))
    await isCached(() => thing.read('a', load))
    const later = [await thing.getOrSet('a', load), await thing.getOrSet('a', load)]
    const copies = [...together, ...later]
    expect(new Set(copies).size).toBe(copies.length)
    for (const copy of copies) copy.when.setTime(0)
    expect(await thing.getOrSet('a', load)).toEqual({ when: new Date(5) })
  })

  test('a value above the threshold is compressed in Redis, and comes back', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    for (const [at, value] of [
      { text: 'wattle '.repeat(20_000) },
      { text: 'wattle '.repeat(20_000), when: new Date(1) },
      { text: 'wattle '.repeat(2_000) },
    ].entries()) {
      const kinds = [one, two].map(({ cache }) =>
        cache.kind<unknown>(`big${'abc'[at]}`, { ttl: '1m' }),
      )
      const [here, there] = kinds
      if (!here || !there) throw new Error('it was defined')
      const { key } = await here.read('a', () => value)
      await eventually(async () => expect(await one.raw.strlen(key)).toBeGreaterThan(0))
      expect(await one.raw.strlen(key)).toBeLessThan(value.text.length / 10)
      expect(await there.read('a', () => 'no')).toMatchObject({ tier: 'l2', value })
    }
  })

  test('L1 counts a compressed value for what it takes there, whichever way it came', async ({
    open,
  }) => {
    const [one, two] = [await open(), await open()]
    const value = { text: 'wattle '.repeat(20_000) }
    for (const { cache, registry } of [one, two]) {
      const kind = cache.kind<typeof value>('big', { ttl: '1m' })
      await inL1(() => kind.read('a', () => value))
      const { values } = await registry.getSingleMetric('wattle_cache_bytes')!.get()
      expect(values[0]?.value).toBeGreaterThan(value.text.length)
      expect(values[0]?.value).toBeLessThan(value.text.length + 500)
    }
    expect(two.cache.statistics()['big']?.loads).toBe(0)
  })

  test('what does not become shorter is stored as it is', async ({ open }) => {
    const { cache } = await open()
    const noise = Buffer.from(Array.from({ length: 20_000 }, (_, at) => (at * 7919 * at) >> 3))
    const thing = cache.kind<Buffer>('thing', { ttl: '1m', compressAbove: 0, l1: false })
    await thing.set('a', noise)
    await thing.set('b', Buffer.from('x'))
    expect(await thing.peek('a')).toEqual(noise)
    expect(await thing.peek('b')).toEqual(Buffer.from('x'))
  })

  test('a value that cannot be encoded reaches its readers, is not kept, and is told in the log', async ({
    server,
  }) => {
    await using one = await openSynchronized({ url: server.url, service: 'odd' })
    const odd = one.cache.kind<{ act: () => number }>('odd', { ttl: '1m' })
    const load = () => ({ act: () => 5 })
    const [first, second] = await Promise.all([odd.getOrSet('a', load), odd.getOrSet('a', load)])
    expect([first.act(), second.act()]).toEqual([5, 5])
    expect(await odd.peek('a')).toBeUndefined()
    expect(one.cache.statistics()['odd']?.fillsRejected.unserializable).toBe(1)
    expect(one.log.lines.join()).toMatch(/a value of odd is not cached/)
  })

  test('an array of a class of its own is the same from each tier, and no reader’s changes reach another', async ({
    open,
  }) => {
    class Rows extends Array<{ id: number }> {
      count = 0
    }
    const [one, two] = [await open(), await open()]
    const load = () => Object.assign(Rows.from([{ id: 1 }]), { count: 1 })
    for (const { cache } of [one, two]) {
      const kind = cache.kind<{ id: number }[]>('rows', { ttl: '1m' })
      for (let read = 0; read < 3; read++) {
        const rows = await kind.getOrSet('a', load)
        expect([rows.constructor, Object.assign({}, rows)]).toEqual([
          Array,
          { 0: { id: 1 }, count: 1 },
        ])
        rows.push({ id: 2 })
        await isCached(() => kind.read('a', load))
      }
    }
  })

  test('null has no tags of its own, and is kept', async ({ open }) => {
    const { cache } = await open()
    let loads = 0
    const load = async (_id: string): Promise<{ owner: string } | null> => {
      loads++
      return null
    }
    const { row } = cache.define({
      row: { load, key: (id) => id, ttl: '1m', valueTags: ({ owner }) => [`of:${owner}`] },
    })
    await isCached(() => row.read('a'))
    expect(await row.get('a')).toBeNull()
    expect(loads).toBe(1)
    const kind = cache.kind<{ owner: string } | null>('kind', {
      ttl: '1m',
      absentTtl: '1m',
      valueTags: ({ owner }) => [owner],
    })
    await kind.set('a', null)
    expect(await kind.has('a')).toBe(true)
    await kind.set('a', undefined as never)
    expect([await kind.has('a'), await kind.peek('a')]).toEqual([true, undefined])
  })

  test('a value whose tags cannot be told likewise', async ({ server }) => {
    await using one = await openSynchronized({ url: server.url, service: 'tagless' })
    const odd = one.cache.kind<{ owner: { id: string } | null }>('odd', {
      ttl: '1m',
      valueTags: (value) => [(value.owner as { id: string }).id],
    })
    expect(await odd.getOrSet('a', () => ({ owner: null }))).toEqual({ owner: null })
    expect(await odd.peek('a')).toBeUndefined()
    expect(one.log.lines.join()).toMatch(/a value of odd is not cached/)
  })

  test('a value that contains itself comes back as it went in', async ({ open }) => {
    type Family = { name: string; children: { parent?: Family }[] }
    const load = () => {
      const parent: Family = { name: 'ada', children: [{}] }
      for (const child of parent.children) child.parent = parent
      return parent
    }
    for (const { cache } of [await open(), await open()]) {
      const family = cache.kind<Family>('family', { ttl: '1m' })
      for (let time = 0; time < 3; time++) {
        const got = await family.getOrSet('x', load)
        expect(got.children[0]?.parent).toBe(got)
      }
    }
  })

  test.for([
    ['l1', true],
    ['l2', false],
  ] as const)(
    "bytes within a value from %s are each reader's own",
    async ([tier, l1], { open }) => {
      const { cache } = await open()
      const kind = cache.kind<{ bytes: Buffer }>(tier, { ttl: '1m', l1 })
      const read = () => kind.read('x', () => ({ bytes: Buffer.from('abc') }))
      await eventually(async () => expect((await read()).tier).toBe(tier))
      for (let time = 0; time < 3; time++) {
        const all = await Promise.all([read(), read(), read()])
        for (const { value } of all) {
          expect(value.bytes.toString()).toBe('abc')
          value.bytes[0] = 99
        }
      }
    },
  )

  test('a value whose tags have no room in an entry is read from the source each time', async ({
    open,
  }) => {
    const { cache } = await open()
    const valueTags = () =>
      Array.from({ length: 500 }, (_, at) => `a rather long tag, number ${at}`)
    const kind = cache.kind<{ at: Date }>('thing', { ttl: '1m', valueTags })
    for (let time = 0; time < 3; time++) {
      expect(await kind.read('x', () => ({ at: new Date(5) }))).toMatchObject({
        value: { at: new Date(5) },
        status: 'miss',
      })
    }
    await expect(kind.set('y', { at: new Date(5) })).rejects.toThrow(/9999: give it fewer/)
  })
})

const structuredCloneOf = (value: unknown): unknown =>
  Buffer.isBuffer(value) ? Buffer.from(value) : structuredClone(value)

/** Told apart where `toEqual` does not: minus zero, undefined properties, and errors by name. */
function comparable(value: unknown): unknown {
  if (Object.is(value, -0)) return 'minus zero'
  if (value instanceof Error) return [value.name, value.message]
  if (
    typeof value === 'object' &&
    value !== null &&
    Object.getPrototypeOf(value) === Object.prototype
  )
    return Object.entries(value).map(([name, inner]) => [
      name,
      inner === undefined ? 'undefined' : inner,
    ])
  return value
}
