import { describe, expect, test } from 'vitest'
import { recentMap } from '../src/recent-map.ts'

describe('T1 the memory for tokens', () => {
  test('never holds more than it may', () => {
    const map = recentMap<number>(10)
    for (let n = 0; n < 1_000; n++) {
      map.set(`key ${n}`, n)
      expect(map.size).toBeLessThanOrEqual(10)
    }
    expect(map.get('key 999')).toBe(999)
    expect(map.get('key 989')).toBeUndefined()
  })

  test('keeps what is in use while others come and go', () => {
    const map = recentMap<number>(10)
    map.set('hot', 1)
    for (let n = 0; n < 1_000; n++) {
      map.set(`key ${n}`, n)
      expect(map.get('hot')).toBe(1)
    }
  })

  test('gives the latest value, in whichever generation the former one lay', () => {
    const map = recentMap<number>(4)
    for (let n = 0; n < 50; n++) {
      map.set('one', n)
      map.set(`key ${n}`, n)
      expect(map.get('one')).toBe(n)
    }
  })
})
