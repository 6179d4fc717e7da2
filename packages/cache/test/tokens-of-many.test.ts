import type { Shard } from '@wattle/redis'
import { describe, expect } from 'vitest'
import { tag } from '../src/index.ts'
import { outcomeOf, parseToken } from '../src/token.ts'
import { test } from './setup.ts'

const keys = (count: number) => Array.from({ length: count }, (_, at) => `k${at}`)
const numberOf = (token: string) => parseToken(token)?.get(0)?.sequence

describe('C13 the token of a write of many entries', () => {
  test('covers the last of the announcements it took: setMany, invalidate of entries, of tags', async ({
    open,
  }) => {
    const { cache } = await open()
    const word = cache.kind<string>('word', { ttl: '1m' })
    const alone = async () => {
      const { outcome, token } = await cache.invalidate([word.ref('other')])
      expect(outcome).toBe('applied')
      return numberOf(token) ?? NaN
    }
    const writes = [
      () => word.setMany(keys(450).map((key) => [key, 'new'] as const)),
      () => cache.invalidate(keys(450).map((key) => word.ref(key))),
      () => cache.invalidate(keys(450).map((key) => tag(key))),
    ]
    for (const write of writes) {
      const before = await alone()
      const { outcome, token } = await write()
      expect(outcome).toBe('applied')
      const covered = numberOf(token) ?? NaN
      expect(covered).toBeGreaterThan(before + 1)
      // Nothing of it has a higher number than the one that the token names.
      expect(await alone()).toBe(covered + 1)
    }
  })

  test('is that of the highest number, whichever announcement is answered last, and of each shard its own', () => {
    const shard = (index: number) => ({ index }) as Shard
    const epoch = 'a'.repeat(16)
    const part = (index: number, sequence: number) => ({ shard: shard(index), epoch, sequence })
    const token = `0:${epoch}:9,1:${epoch}:4`
    const parts = [part(0, 7), part(1, 4), part(0, 9), part(1, 3), part(0, 8)]
    const sorted = (text: string) => text.split(',').toSorted().join()
    for (const order of [parts, parts.toReversed(), parts.slice(2).concat(parts.slice(0, 2))]) {
      const { outcome, token: found } = outcomeOf(order)
      expect([outcome, sorted(found)]).toEqual(['applied', token])
    }
  })

  test('is covered by no process when one of the announcements was deferred', () => {
    const shard = { index: 0 } as Shard
    const done = { shard, epoch: 'a'.repeat(16), sequence: 9 }
    for (const parts of [
      [done, { shard }],
      [{ shard }, done],
    ]) {
      expect(outcomeOf(parts)).toEqual({ outcome: 'deferred', token: `0:${'0'.repeat(16)}:0` })
    }
  })
})
