import { describe, expect, test } from 'vitest'
import { isRefuted, newestOpinion, type Opinion } from '../src/sentinel.ts'

const a = { host: 'a', port: 1 }
const b = { host: 'b', port: 1 }
const says = (master: typeof a, epoch: number): Opinion => ({ master, epoch })

describe('R2: who is master, from what the Sentinels say', () => {
  test('a new connection follows the newest configuration, even of one Sentinel', () => {
    expect(newestOpinion([says(a, 4), says(b, 5), says(a, 4)])?.master).toBe(b)
    expect(newestOpinion([])).toBeUndefined()
  })

  test('a living connection is cut when two agree on another master', () => {
    expect(isRefuted(a, [says(b, 5), says(b, 5), says(a, 4)], 2)).toBe(true)
    expect(isRefuted(b, [says(b, 5), says(b, 5), says(a, 4)], 2)).toBe(false)
  })

  test('one Sentinel alone cuts nothing, nor does silence', () => {
    expect(isRefuted(a, [says(b, 5)], 2)).toBe(false)
    expect(isRefuted(a, [says(b, 5), says(a, 4), says(a, 4)], 2)).toBe(false)
    expect(isRefuted(a, [], 2)).toBe(false)
  })

  test('two that have not heard of the failover do not win over one that has', () => {
    expect(isRefuted(b, [says(b, 5), says(a, 4), says(a, 4)], 2)).toBe(false)
  })

  test('where only one Sentinel is configured, its word is enough', () => {
    expect(isRefuted(a, [says(b, 5)], 1)).toBe(true)
  })
})
