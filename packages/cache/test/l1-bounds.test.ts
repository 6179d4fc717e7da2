import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Index } from '../src/l1/l1.ts'
import { open, type Fields, type TestL1 } from './l1-setup.ts'

type Modelled = Fields & { value: string }
type Model = Map<Index, Map<string, Modelled>>

const kinds = 3
const kind = fc.nat(kinds - 1)
const key = fc.nat(40).map((number) => `key ${number}`)
const time = fc.double({ noNaN: true })
const fields = fc.record({
  value: fc.string(),
  bytes: fc.oneof(fc.nat(130), fc.double({ min: 0, max: 130, noNaN: true })),
  checkAt: time,
  softUntil: time,
  loadedAt: time,
  stamp: time,
  tags: fc.option(fc.array(fc.string(), { maxLength: 2 }), { nil: undefined }),
  shard: fc.option(fc.constant({}), { nil: undefined }),
})

type Step = (store: { l1: TestL1; indexes: Index[]; model: Model }) => void

const insert = fc.record({ kind, key, fields }).map(({ kind, key, fields }): Step => {
  return ({ l1, indexes, model }) => {
    const index = indexes[kind] as Index
    const { value, bytes, checkAt, softUntil, loadedAt, stamp, tags, shard } = fields
    // the model first, for what the store evicts meanwhile is taken from the model
    const refused = Math.ceil(bytes) > l1.maxBytes / 8
    if (refused) model.get(index)?.delete(key)
    else model.get(index)?.set(key, fields)
    const slot = l1.insert(
      index,
      key,
      value,
      bytes,
      checkAt,
      softUntil,
      loadedAt,
      stamp,
      tags,
      shard,
    )
    expect(slot).toBe(index.get(key) ?? -1)
    expect(slot === -1).toBe(refused)
  }
})
const hit = fc.record({ kind, key }).map(({ kind, key }): Step => {
  return ({ l1, indexes }) => {
    const slot = indexes[kind]?.get(key)
    if (slot !== undefined) l1.hit(slot)
  }
})
const remove = fc.record({ kind, key, bySlot: fc.boolean() }).map((chosen): Step => {
  return ({ l1, indexes, model }) => {
    const index = indexes[chosen.kind] as Index
    const expected = model.get(index)?.delete(chosen.key)
    const slot = index.get(chosen.key)
    if (!chosen.bySlot) expect(l1.remove(index, chosen.key)).toBe(expected)
    else if (slot !== undefined) l1.removeSlot(slot)
  }
})
const clearIndex = kind.map((kind): Step => {
  return ({ l1, indexes, model }) => {
    const index = indexes[kind] as Index
    l1.clearIndex(index)
    model.get(index)?.clear()
  }
})
const clear = fc.constant<Step>(({ l1, model }) => {
  l1.clear()
  for (const entries of model.values()) entries.clear()
})
const steps = fc.array(
  fc.oneof(
    { weight: 60, arbitrary: insert },
    { weight: 30, arbitrary: hit },
    { weight: 15, arbitrary: remove },
    { weight: 1, arbitrary: clearIndex },
    { weight: 1, arbitrary: clear },
  ),
  { maxLength: 300, size: 'max' },
)

describe('C8 an L1 store under any operations', () => {
  test('stays within both bounds, and holds exactly what was put in and neither removed nor evicted', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 8, max: 1000 }),
        steps,
        (maxEntries, maxBytes, steps) => {
          const model: Model = new Map()
          const evicted = (slot: number, index: Index, key: string) => {
            expect(index.get(key)).toBe(slot)
            expect(model.get(index)?.delete(key)).toBe(true)
          }
          const l1 = open({ maxEntries, maxBytes, onEvict: evicted })
          const indexes = Array.from({ length: kinds }, () => l1.createIndex())
          for (const index of indexes) model.set(index, new Map())
          for (const step of steps) {
            step({ l1, indexes, model })
            expectSame(l1, model)
          }
        },
      ),
      { numRuns: 100 },
    )
  })
})

function expectSame(l1: TestL1, model: Model): void {
  const slots = new Set<number>()
  let bytes = 0
  for (const [index, entries] of model) {
    expect([...index.keys()].toSorted()).toEqual([...entries.keys()].toSorted())
    for (const [key, expected] of entries) {
      const slot = index.get(key) as number
      slots.add(slot)
      bytes += Math.ceil(expected.bytes)
      expect(fieldsAt(l1, slot)).toEqual({ ...expected, bytes: Math.ceil(expected.bytes) })
    }
  }
  expect(l1.entries).toBe(slots.size)
  expect(l1.bytes).toBe(bytes)
  expect(l1.entries).toBeLessThanOrEqual(l1.maxEntries)
  expect(l1.bytes).toBeLessThanOrEqual(l1.maxBytes)
}

const fieldsAt = (l1: TestL1, slot: number) => ({
  value: l1.values[slot],
  bytes: l1.sizes[slot],
  checkAt: l1.checkAt[slot],
  softUntil: l1.softUntil[slot],
  loadedAt: l1.loadedAt[slot],
  stamp: l1.stamps[slot],
  tags: l1.tags[slot],
  shard: l1.shards[slot],
})
