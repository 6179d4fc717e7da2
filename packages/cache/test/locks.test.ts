import { randomBytes } from 'node:crypto'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually, startRedis, startSentinelGroup, type TestRedis } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  createLocks,
  LockHeldError,
  LockLostError,
  LockUnavailableError,
  type Locks,
} from '../src/index.ts'

const keys = keySpace({ environment: 'test', service: 'billing' })

async function locksAt(url: string): Promise<Locks> {
  const redis = connectRedis({ url, name: 'state' })
  onTestFinished(() => redis.close())
  await redis.whenReady(5_000)
  return createLocks({ redis, keys })
}

/** A name that no other test locks. */
const fresh = () => randomBytes(6).toString('hex')
const forEver = () => new Promise<never>(() => {})
const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))

describe('C25 locks', () => {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ group: 'state' })
  })
  afterAll(() => server.stop())

  test('one holder at a time, in whatever process', async () => {
    const [one, two] = [await locksAt(server.url), await locksAt(server.url)]
    const key = ['meter', fresh()]
    const lock = await one.acquire(key, { ttl: '10s' })
    expect(lock).toBeDefined()
    expect(await two.acquire(key, { ttl: '10s' })).toBeUndefined()
    expect(await lock?.release()).toBe(true)
    expect(await two.acquire(key, { ttl: '10s' })).toBeDefined()
  })

  test('many who want the same never hold it together, and each gets it', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => locksAt(server.url)))
    const key = fresh()
    let holders = 0
    let most = 0
    const tokens: number[] = []
    const work = async ({ token }: { token: number }) => {
      most = Math.max(most, ++holders)
      tokens.push(token)
      await new Promise(setImmediate)
      holders--
    }
    const options = { ttl: '5s', wait: '15s' } as const
    await Promise.all([...all, ...all, ...all].map((locks) => locks.withLock(key, options, work)))
    expect(most).toBe(1)
    expect(tokens).toHaveLength(12)
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b))
    expect(new Set(tokens).size).toBe(12)
  })

  test('only the owner releases or extends: a hold whose time is over has no say', async () => {
    const locks = await locksAt(server.url)
    const key = fresh()
    const first = await locks.acquire(key, { ttl: '50ms' })
    const second = await locks.acquire(key, { ttl: '10s', wait: '5s' })
    expect(second).toBeDefined()
    expect(await first?.extend()).toBe(false)
    expect(await first?.release()).toBe(false)
    expect(await locks.acquire(key, { ttl: '10s' })).toBeUndefined()
    expect(await second?.extend('20s')).toBe(true)
  })

  test('a holder that dies costs others its TTL, not more', async () => {
    const locks = await locksAt(server.url)
    const key = fresh()
    await locks.acquire(key, { ttl: '300ms' })
    const started = performance.now()
    expect(await locks.acquire(key, { ttl: '1s', wait: '5s' })).toBeDefined()
    expect(performance.now() - started).toBeLessThan(1_500)
  })

  test('who waits gives up after `wait`, or when its own signal says so', async () => {
    const locks = await locksAt(server.url)
    const key = fresh()
    await locks.acquire(key, { ttl: '30s' })
    const work = () => Promise.resolve('never')
    const waiting = locks.withLock(key, { ttl: '1s', wait: '60ms' }, work)
    await expect(waiting).rejects.toThrow(LockHeldError)
    await expect(waiting).rejects.toThrow('was not freed within 60ms')
    const stop = new AbortController()
    const other = locks.acquire(key, { ttl: '1s', wait: '20s', signal: stop.signal })
    stop.abort(new Error('shutting down'))
    await expect(other).rejects.toThrow('shutting down')
  })

  test('the fencing token grows from holder to holder, also where the clock of the server was set back', async () => {
    const locks = await locksAt(server.url)
    const key = fresh()
    const first = await locks.acquire(key, { ttl: '1s' })
    await first?.release()
    // As if the last token had been given out an hour from now.
    const ahead = (first?.token ?? 0) + 3_600_000_000
    await server.client().hset(keys.key('lock', key), 'token', ahead)
    const second = await locks.acquire(key, { ttl: '1s' })
    expect(second?.token).toBe(ahead + 1)
    await second?.release()
    expect((await locks.acquire(key, { ttl: '1s' }))?.token).toBe(ahead + 2)
    expect(Number.isSafeInteger(ahead + 2)).toBe(true)
  })

  test('work may take longer than the TTL: the lock is extended under it, and free at its end', async () => {
    const [one, two] = [await locksAt(server.url), await locksAt(server.url)]
    const key = fresh()
    let tries = 0
    await one.withLock(key, { ttl: '800ms' }, async ({ signal }) => {
      const started = performance.now()
      await eventually(async () => {
        tries++
        expect(await two.acquire(key, { ttl: '1s' })).toBeUndefined()
        expect(performance.now() - started).toBeGreaterThan(2_000)
      })
      expect(signal.aborted).toBe(false)
    })
    expect(tries).toBeGreaterThan(3)
    expect(await two.acquire(key, { ttl: '1s' })).toBeDefined()
  })

  test('the lock is free when the work has failed, and its failure is passed on', async () => {
    const locks = await locksAt(server.url)
    const key = fresh()
    const work = () => Promise.reject(new Error('the meter is broken'))
    await expect(locks.withLock(key, { ttl: '10s' }, work)).rejects.toThrow('the meter is broken')
    expect(await locks.acquire(key, { ttl: '1s' })).toBeDefined()
  })

  test('work is told at the next extension that its lock is lost, and does not pass for done under it', async () => {
    const locks = await locksAt(server.url)
    const key = fresh()
    const started = performance.now()
    const working = locks.withLock(key, { ttl: '6s' }, async ({ signal }) => {
      await server.client().del(keys.key('lock', key))
      await aborted(signal)
      expect(performance.now() - started).toBeLessThan(5_000)
      expect(signal.reason).toBeInstanceOf(LockLostError)
      return 'done'
    })
    await expect(working).rejects.toThrow(LockLostError)
  })

  test('while Redis is frozen: acquiring rejects in one sentence, and work under a lock is told at the end of its TTL', async () => {
    await using own = await startRedis({ group: 'state' })
    const locks = await locksAt(own.url)
    const key = fresh()
    const started = performance.now()
    const working = locks.withLock(key, { ttl: '500ms' }, async ({ signal }) => {
      own.freeze()
      await aborted(signal)
      expect(performance.now() - started).toBeLessThan(1_500)
      return 'done'
    })
    await expect(working).rejects.toThrow(LockLostError)
    const acquiring = locks.acquire(fresh(), { ttl: '1s' })
    await expect(acquiring).rejects.toThrow(LockUnavailableError)
    await expect(acquiring).rejects.toThrow(/^the lock \S+ cannot be had or judged, since Redis/)
    own.thaw()
  })

  test('the fencing token grows across a failover', { timeout: 60_000 }, async () => {
    await using group = await startSentinelGroup({ group: 'state', downAfterMs: 1_000 })
    const locks = await locksAt(group.url)
    const key = fresh()
    const before = await locks.acquire(key, { ttl: '1s' })
    const master = await group.master()
    await group.kill(master)
    const after = await eventually(
      async () => {
        const lock = await locks.acquire(key, { ttl: '1s' })
        expect(lock).toBeDefined()
        return lock
      },
      { withinMs: 30_000, everyMs: 100 },
    )
    const successor = await eventually(async () => {
      const found = await group.master()
      expect(found).not.toBe(master)
      return found
    })
    expect(after?.token).toBeGreaterThan(before?.token ?? Infinity)
    // A new master that lost the whole lock, its last token too.
    await group.client(successor).del(keys.key('lock', key))
    const later = await locks.acquire(key, { ttl: '1s' })
    expect(later?.token).toBeGreaterThan(after?.token ?? Infinity)
  })

  test('a service that may reach its own names only can lock', async () => {
    await using own = await startRedis({ group: 'state', acl: true })
    const locks = await locksAt(own.urlFor('billing'))
    const lock = await locks.acquire('x', { ttl: '1s' })
    expect(await lock?.extend()).toBe(true)
    expect(await lock?.release()).toBe(true)
  })

  test('a wrong TTL is refused before anything is sent', async () => {
    const locks = await locksAt(server.url)
    const wrong = { ttl: '5 minutes' as '5m' }
    await expect(locks.acquire('x', wrong)).rejects.toThrow(RangeError)
    await expect(locks.withLock('x', wrong, forEver)).rejects.toThrow(/^ttl of lock .* is "5 min/)
  })
})
