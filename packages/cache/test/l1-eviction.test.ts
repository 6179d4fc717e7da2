import { describe, expect, test } from 'vitest'
import type { Index } from '../src/l1/l1.ts'
import { open, put, read, type TestL1 } from './l1-setup.ts'

const capacity = 1000
const hot = Array.from({ length: capacity / 2 }, (_, number) => `hot ${number}`)
const scanned = Array.from({ length: 10 * capacity }, (_, number) => `scanned ${number}`)

function opened(maxBytes = 1e6): { l1: TestL1; index: Index } {
  const l1 = open({ maxEntries: capacity, maxBytes })
  return { l1, index: l1.createIndex() }
}

/** A hot set in use: read three times, among enough others for the bound to have chosen. */
function heat({ l1, index }: { l1: TestL1; index: Index }): void {
  for (let round = 0; round < 3; round++) {
    for (const key of hot) read(l1, index, key)
    for (let other = 0; other < capacity; other++) read(l1, index, `other ${round} ${other}`)
  }
  for (const key of hot) read(l1, index, key)
}

const held = (index: Index) => hot.filter((key) => index.has(key)).length

describe('C8 what an L1 store evicts', () => {
  test('a hot set survives a scan of ten times the capacity', () => {
    const store = opened()
    heat(store)
    for (const key of scanned) read(store.l1, store.index, key)
    expect(held(store.index)).toBe(hot.length)
  })

  test('a hot set survives a scan where bytes are what is scarce', () => {
    const l1 = open({ maxEntries: 100 * capacity, maxBytes: capacity })
    const store = { l1, index: l1.createIndex() }
    heat(store)
    for (const key of scanned) read(l1, store.index, key)
    expect(held(store.index)).toBe(hot.length)
    expect(l1.bytes).toBe(capacity)
  })

  test('a hot set survives a scan of the largest values that are let in', () => {
    const l1 = open({ maxEntries: capacity, maxBytes: 100 * capacity })
    const store = { l1, index: l1.createIndex() }
    heat(store)
    for (const key of scanned) put(l1, store.index, key, { bytes: 12 * capacity })
    expect(held(store.index)).toBe(hot.length)
  })

  test('a hot entry that was invalidated and loaded again survives a scan too', () => {
    const store = opened()
    heat(store)
    for (const key of hot) store.l1.remove(store.index, key)
    for (const key of hot) read(store.l1, store.index, key)
    for (const key of scanned) read(store.l1, store.index, key)
    // what is remembered is a hash table of fixed size, where a few find no room
    expect(held(store.index)).toBeGreaterThan(0.97 * hot.length)
  })

  test('a hot set that is no longer read makes way for the next one', () => {
    const store = opened()
    heat(store)
    for (let round = 0; round < 5; round++) {
      for (let number = 0; number < capacity; number++) {
        read(store.l1, store.index, `next ${number}`)
      }
    }
    const next = [...store.index.keys()].filter((key) => key.startsWith('next'))
    expect(next.length).toBeGreaterThan(0.9 * capacity)
  })
})
