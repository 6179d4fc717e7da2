import { describe, expect, test } from 'vitest'
import type { Index } from '../src/l1/l1.ts'
import { open, put, read } from './l1-setup.ts'

describe('C8 entries of an L1 store', () => {
  test('an evicted key leaves its own index, and the same key of another kind stays', () => {
    const evicted: [Index, string][] = []
    const l1 = open({
      maxEntries: 2,
      maxBytes: 1000,
      onEvict: (_, index, key) => evicted.push([index, key]),
    })
    const [bills, people] = [l1.createIndex(), l1.createIndex()]
    put(l1, bills, 'a')
    put(l1, people, 'a')
    put(l1, people, 'b')
    expect(evicted).toEqual([[bills, 'a']])
    expect([...bills.keys()]).toEqual([])
    expect([...people.keys()]).toEqual(['a', 'b'])
    expect(l1.evictions).toBe(1)
  })

  test('what is evicted can still be read while it is told of', () => {
    const values: (string | undefined)[] = []
    const l1 = open({
      maxEntries: 1,
      maxBytes: 1000,
      onEvict: (slot) => values.push(l1.values[slot]),
    })
    const index = l1.createIndex()
    put(l1, index, 'a', { value: 'of a' })
    put(l1, index, 'b')
    expect(values).toEqual(['of a'])
  })

  test('removing and clearing are not evictions', () => {
    const l1 = open({
      maxEntries: 10,
      maxBytes: 1000,
      onEvict: () => {
        throw new Error('nothing was evicted')
      },
    })
    const index = l1.createIndex()
    for (const key of ['a', 'b', 'c', 'd']) put(l1, index, key)
    expect(l1.remove(index, 'a')).toBe(true)
    expect(l1.remove(index, 'a')).toBe(false)
    l1.removeSlot(index.get('b') ?? -1)
    l1.clearIndex(index)
    put(l1, index, 'e')
    l1.clear()
    expect(l1).toMatchObject({ entries: 0, bytes: 0, evictions: 0 })
  })

  test('slots that were given back are used again, so a million insertions need no more than the bound', () => {
    const l1 = open({ maxEntries: 100, maxBytes: 1e6 })
    const index = l1.createIndex()
    for (let number = 0; number < 1_000_000; number++) {
      put(l1, index, `key ${number}`)
      if (number % 3 === 0) l1.remove(index, `key ${number}`)
    }
    expect(l1.values.length).toBeLessThanOrEqual(100)
    expect(l1.checkAt.length).toBeLessThanOrEqual(100)
  })

  test('an entry that leaves keeps nothing of its value alive', () => {
    const l1 = open({ maxEntries: 10, maxBytes: 1000 })
    const index = l1.createIndex()
    const slot = l1.insert(index, 'a', 'value', 1, 0, 0, 0, 0, ['tag'], {})
    l1.remove(index, 'a')
    expect([l1.values[slot], l1.tags[slot], l1.shards[slot], l1.keys[slot]]).toEqual([
      undefined,
      undefined,
      undefined,
      '',
    ])
  })

  test('fields survive the growth of the arrays', () => {
    const l1 = open({ maxEntries: 10_000, maxBytes: 1e6 })
    const index = l1.createIndex()
    for (let number = 0; number < 10_000; number++) {
      l1.insert(index, `${number}`, `of ${number}`, 1, number, 0, 0, -number, undefined, {})
    }
    for (const [key, slot] of index) {
      const number = Number(key)
      expect([l1.values[slot], l1.checkAt[slot], l1.stamps[slot]]).toEqual([
        `of ${key}`,
        number,
        -number,
      ])
    }
  })

  test('a replaced value counts with its new bytes only, and pushes others out where it grew', () => {
    const l1 = open({ maxEntries: 100, maxBytes: 80 })
    const index = l1.createIndex()
    for (let number = 0; number < 8; number++) put(l1, index, `${number}`, { bytes: 8 })
    put(l1, index, '0', { bytes: 2 })
    expect(l1.bytes).toBe(58)
    for (let number = 0; number < 8; number++) put(l1, index, `${number}`, { bytes: 10 })
    expect(l1).toMatchObject({ bytes: 80, entries: 8, evictions: 0 })
    put(l1, index, '8', { bytes: 10 })
    expect(l1).toMatchObject({ bytes: 80, entries: 8, evictions: 1 })
  })

  test('a value above an eighth of the bound is refused, and the older value under its key goes', () => {
    const l1 = open({ maxEntries: 100, maxBytes: 80 })
    const index = l1.createIndex()
    expect(put(l1, index, 'a', { bytes: 10 })).toBeGreaterThanOrEqual(0)
    for (const bytes of [11, Infinity, NaN, -1]) {
      put(l1, index, 'a', { bytes: 10 })
      expect(put(l1, index, 'a', { bytes })).toBe(-1)
      expect(index.has('a')).toBe(false)
      expect(l1).toMatchObject({ bytes: 0, entries: 0 })
    }
  })

  test('a bound that is no whole number of at least one entry or eight bytes is refused by name', () => {
    for (const maxEntries of [0, -1, 1.5, NaN, Infinity]) {
      expect(() => open({ maxEntries, maxBytes: 1000 })).toThrow(/maxEntries .* whole number/)
    }
    expect(() => open({ maxEntries: 1, maxBytes: 7 })).toThrow(/maxBytes .* is 7/)
  })

  test('a single entry fits into a store for one', () => {
    const l1 = open({ maxEntries: 1, maxBytes: 8 })
    const index = l1.createIndex()
    expect(read(l1, index, 'a')).toBe(false)
    expect(read(l1, index, 'a')).toBe(true)
    expect(read(l1, index, 'b')).toBe(false)
    expect([...index.keys()]).toEqual(['b'])
  })
})
