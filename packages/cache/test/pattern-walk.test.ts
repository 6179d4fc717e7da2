import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { test } from './setup.ts'

describe('C10 reads while a pattern is being removed', () => {
  test('what another process read before the walk came to it is dropped when the walk is done', async ({
    open,
  }) => {
    const [writer, reader] = [await open(), await open()]
    let word = 'old'
    const load = async () => word
    const [written, read] = [writer, reader].map(({ cache }) =>
      cache.kind<string>('word', { ttl: '1m' }),
    )
    const key = ['group', 'x']
    await eventually(async () => expect((await read?.read(key, load))?.tier).toBe('l1'))

    // The walk waits until the reader has heard of the pattern and has read the entry again, from Redis.
    const { client } = writer.redis
    const scan = client.scan.bind(client)
    const walk = Promise.withResolvers<void>()
    client.scan = (async (...args: Parameters<typeof scan>) => {
      await walk.promise
      return scan(...args)
    }) as never
    word = 'new'
    const invalidated = writer.cache.invalidate([written!.startingWith('group')])
    await eventually(async () => expect((await read?.read(key, load))?.tier).toBe('l2'), {
      everyMs: 0,
    })
    walk.resolve()

    expect((await invalidated).outcome).toBe('applied')
    await eventually(async () => expect(await read?.getOrSet(key, load)).toBe('new'), {
      withinMs: 2_000,
    })
  })
})
