import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { everything, tag } from '../src/index.ts'
import { applied, inL2, isCached, openCache, openSynchronized } from './support/caches.ts'

let server: TestRedis
beforeAll(async () => {
  server = await startRedis({ acl: true, services: ['billing', 'user'] })
})
afterAll(() => server.stop())

describe("C1 R4 a cache under its service's Redis user", () => {
  test('may do everything that a cache does', async () => {
    await using one = await openSynchronized({ url: server.urlFor('billing'), service: 'billing' })
    const { cache, log } = one
    const word = cache.kind<string>('word', { ttl: '1m', l1: false, valueTags: (value) => [value] })
    const strict = cache.kind<string>('strict', { ttl: '1m', l1: false, strict: true })
    const counter = cache.counter('count', { ttl: '1m' })
    await inL2(() => word.read('a', () => 'x', { tags: ['t'] }))
    await inL2(() => strict.read('a', () => 'x'))
    await applied(one, [word.ref('a'), tag('t'), tag('u', 'expire'), word.all(), everything])
    expect((await word.set('a', 'y')).outcome).toBe('applied')
    expect((await word.setMany([['b', 'z']])).outcome).toBe('applied')
    expect(await word.getMany(['a', 'b'])).toEqual(['y', 'z'])
    expect(await strict.compareAndSet('b', undefined, 'z')).toBe(true)
    expect(await word.touch('a')).toBe(true)
    expect(await word.update('a', () => Promise.resolve('w'))).toBe('w')
    expect(await word.peek('a')).toBe('w')
    expect(await counter.increment('a')).toBe(1)
    expect((await cache.invalidatePattern('word:*')).outcome).toBe('applied')
    expect(await word.peek('a')).toBeUndefined()
    expect((await word.delete('b')).outcome).toBe('applied')
    // That the machine was slow for a moment is no matter here.
    expect(log.lines.filter((line) => /NOPERM|refuse|can't run/.test(line))).toEqual([])
  })

  test('reaches nothing of another service, and says so', async () => {
    await using theirs = await openSynchronized({ url: server.urlFor('user'), service: 'user' })
    const secret = theirs.cache.kind<string>('session', { ttl: '1m' })
    await secret.set('a', 'secret')
    await isCached(() => secret.read('a', () => 'no'))
    // With the account of one and the namespace of the other.
    await using mixed = openCache({ url: server.urlFor('billing'), service: 'user' })
    expect(await mixed.redis.whenReady(5_000)).toBe(true)
    const session = mixed.cache.kind<string>('session', { ttl: '1m' })
    for (let read = 0; read < 5; read++) {
      expect(await session.getOrSet('a', () => 'from the source')).toBe('from the source')
    }
    expect(await session.peek('a')).toBeUndefined()
    expect((await session.set('a', 'forged')).outcome).toBe('deferred')
    expect((await mixed.cache.invalidate([everything])).outcome).toBe('deferred')
    expect(mixed.cache.synchronized).toBe(false)
    expect(await secret.peek('a')).toBe('secret')
    expect(mixed.log.lines.join()).toMatch(/NOPERM/)
  })

  test('tells in the log when a right is taken from it, since reads go on without the cache', async () => {
    await using one = await openSynchronized({ url: server.urlFor('billing'), service: 'billing' })
    const admin = server.client()
    await admin.acl('SETUSER', 'billing', '-evalsha', '-eval')
    try {
      await eventually(() => expect(one.cache.synchronized).toBe(false))
      const told = () => one.log.lines.filter((line) => /refuses what a channel needs/.test(line))
      expect(told()).toEqual([expect.stringMatching(/^warn Redis billing .*(NOPERM|can't run)/)])
    } finally {
      await admin.acl('SETUSER', 'billing', '+evalsha', '+eval')
    }
    await eventually(() => expect(one.cache.synchronized).toBe(true))
  })
})
