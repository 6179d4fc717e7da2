import { describe, expect } from 'vitest'
import {
  expectNothingWaits,
  gate,
  holdWrites,
  row,
  soon,
  test,
  textOf,
} from './write-behind-setup.ts'

describe('C5 write-behind', { timeout: 60_000 }, () => {
  test('an accepted change is visible at once, here and in other processes, and reaches the source later', async ({
    writer,
    source,
  }) => {
    const [one, two] = [await writer(), await writer()]
    const held = holdWrites(source)
    await one.get('a')
    await two.get('a')
    expect(await one.writes.put('a', row('a', 7))).toMatchObject({
      outcome: 'accepted',
      cache: { outcome: 'applied' },
    })
    expect(await one.get('a')).toEqual(row('a', 7))
    await soon(async () => expect(await two.get('a')).toEqual(row('a', 7)))
    expect(source.rows.get('a')).toBeUndefined()
    held.open()
    await soon(() => expect(source.rows.get('a')).toEqual(row('a', 7)))
    await expectNothingWaits(one)
    expect(await two.get('a')).toEqual(row('a', 7))
  })

  test('while a change waits no load returns the older value of the source', async ({
    writer,
    source,
  }) => {
    const [one, two] = [await writer(), await writer()]
    const held = holdWrites(source)
    await one.writes.put('a', row('a', 1))
    const loads = source.loads
    for (const { cache, kind, get } of [one, two, one]) {
      await cache.invalidate([kind.all()])
      expect(await get('a')).toEqual(row('a', 1))
    }
    expect(source.loads).toBe(loads)
    held.open()
    await expectNothingWaits(one)
    await one.cache.invalidate([one.kind.all()])
    expect(await one.get('a')).toEqual(row('a', 1))
    expect(source.loads).toBe(loads + 1)
  })

  test('a load that read the source before the put cannot store what it read', async ({
    writer,
    source,
  }) => {
    const [one, two] = [await writer(), await writer()]
    const held = gate()
    const begun = gate()
    const old = two.kind.getOrSet('a', async () => {
      const value = await source.load('a')
      begun.open()
      await held.pass()
      return value
    })
    await begun.pass()
    await one.writes.put('a', row('a', 1))
    held.open()
    expect(await old).toEqual(row('a', 0))
    await soon(async () => expect(await two.get('a')).toEqual(row('a', 1)))
    await expectNothingWaits(one)
    expect(await one.get('a')).toEqual(row('a', 1))
  })

  test('of many puts of one key at once everybody reads the last one accepted', async ({
    writer,
    source,
  }) => {
    const all = [await writer(), await writer(), await writer()]
    const held = holdWrites(source)
    const puts = await Promise.all(
      Array.from({ length: 60 }, async (_, amount) => {
        const { version } = await (all[amount % 3] ?? all[0])!.writes.put('a', row('a', amount))
        return { amount, version }
      }),
    )
    const last = puts.toSorted((a, b) => a.version - b.version).at(-1)
    for (const { get } of all) {
      await soon(async () => expect((await get('a')).amount).toBe(last?.amount))
    }
    held.open()
    await expectNothingWaits(all[0]!)
    expect(source.rows.get('a')?.amount).toBe(last?.amount)
  })

  test('what is changed together is written in batches, one change a key, the last one', async ({
    writer,
    source,
  }) => {
    const one = await writer({ batchSize: 10 })
    const held = holdWrites(source)
    await one.writes.put('first', row('first', 1))
    await held.begun()
    for (let amount = 1; amount <= 5; amount++) {
      await Promise.all(
        Array.from({ length: 20 }, (_, at) => one.writes.put(`k${at}`, row(`k${at}`, amount))),
      )
    }
    held.open()
    await expectNothingWaits(one)
    expect(source.batches.map(({ length }) => length)).toEqual([1, 10, 10])
    expect([...source.rows.values()].filter((one) => one?.amount === 5)).toHaveLength(20)
    expect(one.writes.statistics()).toMatchObject({ accepted: 101, written: 21, coalesced: 80 })
  })

  test('a newer change that comes while its predecessor is written stays visible', async ({
    writer,
    source,
  }) => {
    const one = await writer()
    const first = holdWrites(source)
    await one.writes.put('a', row('a', 1))
    await first.begun()
    await one.writes.put('a', row('a', 2))
    const second = holdWrites(source)
    first.open()
    await soon(() => expect(source.rows.get('a')).toEqual(row('a', 1)))
    await one.cache.invalidate([one.kind.all()])
    expect(await one.get('a')).toEqual(row('a', 2))
    second.open()
    await expectNothingWaits(one)
    expect(source.rows.get('a')).toEqual(row('a', 2))
    expect(source.versions).toEqual(source.versions.toSorted((a, b) => a - b))
  })

  test('the entry is loaded anew when the source keeps something else than what was put', async ({
    writer,
    source,
  }) => {
    const one = await writer({
      write: async (changes) => {
        for (const { key, value } of changes) {
          source.rows.set(textOf(key), row(textOf(key), Math.round(value.amount)))
        }
      },
    })
    await one.writes.put('a', row('a', 1.4))
    await soon(async () => expect(await one.get('a')).toEqual(row('a', 1)))
  })

  test('undefined says that the row is to go; keys and values come as they were put', async ({
    open,
    writer,
  }) => {
    const { state } = await writer()
    const { cache } = await open()
    const got: unknown[] = []
    const held = gate()
    const kind = cache.kind<Map<string, Date> | undefined>('any', { ttl: '1m' })
    const writes = cache.writeBehind(kind, {
      redis: state,
      name: 'any',
      write: async (changes) => {
        await held.pass()
        got.push(...changes.map(({ key, value }) => [key, value]))
      },
    })
    const value = new Map([['x', new Date(5)]])
    const key = ['a', 1n, new Date(7), { page: 2 }]
    await writes.put(key, value)
    await writes.put('b', undefined)
    await cache.invalidate([kind.all()])
    expect(await kind.getOrSet(key, () => undefined)).toEqual(value)
    expect(await kind.getOrSet('b', () => value)).toBe(undefined)
    held.open()
    await writes.stop()
    expect(got).toEqual([
      [key, value],
      ['b', undefined],
    ])
  })

  test('a plan of `define` is written behind as well', async ({ open, writer, source }) => {
    const { state } = await writer()
    const { cache } = await open()
    const plan = cache.define({
      amount: { load: source.load, key: (id: string) => [id], ttl: '1m' },
    })
    const held = holdWrites(source)
    const writes = cache.writeBehind(plan.amount, {
      redis: state,
      name: 'amounts',
      write: source.write,
    })
    await writes.put('a', row('a', 3))
    await cache.invalidate([plan.amount.all()])
    expect(await plan.amount.get('a')).toEqual(row('a', 3))
    expect(() =>
      cache.writeBehind(plan.amount, { redis: state, name: 'x', write: source.write }),
    ).toThrow('written behind already')
    held.open()
    await writes.stop()
    expect(source.rows.get('a')).toEqual(row('a', 3))
  })

  test('stop() writes what waits, and accepts no more', async ({ writer, source }) => {
    const one = await writer({ everyMs: 5_000 })
    await one.writes.put('first', row('first', 1))
    await expectNothingWaits(one)
    await one.writes.put('a', row('a', 1))
    await one.writes.put('b', row('b', 1))
    await one.writes.stop()
    expect(source.batches).toEqual([['first'], ['a', 'b']])
    await expect(one.writes.put('a', row('a', 2))).rejects.toMatchObject({
      name: 'WriteRefusedError',
      reason: 'stopped',
    })
  })
})
