import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { tag } from '../src/index.ts'
import { test } from './setup.ts'

describe('C12 Redis is emptied while an entry is being read', () => {
  test('an entry whose tags vanished between two trips is not used', async ({ open }) => {
    const [writer, reader] = [await open(), await open()]
    let word = 'old'
    const options = { ttl: '1m', l1: false, valueTags: () => ['words'] } as const
    const [written, read] = [writer, reader].map(({ cache }) => cache.kind<string>('word', options))
    const load = async () => word
    await eventually(async () => expect((await written?.read('x', load))?.status).toBe('hit'))
    word = 'new'
    await writer.cache.invalidate([tag('words')])

    // The entry is still there, and is judged by its tag; which is gone when the second trip begins.
    const { redis } = reader
    const { callBuffer } = redis
    let trips = 0
    redis.callBuffer = async (command, keys) => {
      if (++trips === 2) await writer.raw.flushall()
      return callBuffer(command, keys)
    }
    expect(await read?.getOrSet('x', load)).toBe('new')
    expect(trips).toBe(2)
  })
})
