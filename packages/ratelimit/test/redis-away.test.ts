import { eventually, startProxy, startSentinelGroup } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import {
  fixedWindow,
  leakyBucket,
  tokenBucket,
  type Decision,
  type Limit,
  type RateLimits,
} from '../src/index.ts'
import { openLimits } from './support/open.ts'
import { test as base } from './support/setup.ts'

/** With the deadline that everybody gets. */
const test = base.extend({ patience: async ({}, use) => use({}) })

const windowMs = 60_000
const policy = fixedWindow({ limit: 10, windowMs })

async function timed(work: () => Promise<Decision>) {
  const started = performance.now()
  const decision = await work()
  return { ...decision, tookMs: performance.now() - started }
}

/** What a caller meets from the moment that Redis hangs: the first waits a little, nobody else does. */
async function expectSwift(limit: Limit<undefined>): Promise<void> {
  const first = await timed(() => limit.take(undefined))
  expect(first.decidedBy).toBe('local')
  expect(first.tookMs).toBeLessThan(100)
  const later = []
  for (let n = 0; n < 100; n++) later.push((await timed(() => limit.peek(undefined))).tookMs)
  // One pause of the machine itself is not the limiter's.
  expect(later.toSorted((a, b) => a - b)[97]).toBeLessThan(1)
}

const isAsked = (limits: RateLimits) =>
  eventually(() => expect(limits.isRedisAsked).toBe(true), { withinMs: 10_000 })

describe('L5 behaviour without Redis', () => {
  test('frozen: the first decision within 100 ms, later ones within 1 ms, and it comes back by itself', async ({
    open,
    server,
  }) => {
    const { limits, log } = await open()
    const limit = limits.define<undefined>('frozen', { policy })
    expect((await limit.take(undefined)).decidedBy).toBe('redis')
    server.freeze()
    try {
      await expectSwift(limit)
    } finally {
      server.thaw()
    }
    await isAsked(limits)
    expect((await limit.take(undefined)).decidedBy).toBe('redis')
    expect(log.lines).toEqual([
      'warn limits are decided without Redis',
      'info limits are decided by Redis again',
    ])
  })

  test('many callers at the moment it hangs: all are answered within 100 ms', async ({
    open,
    server,
  }) => {
    const { limits } = await open()
    const limit = limits.define<number>('many', {
      policy: tokenBucket({ limit: 10_000, windowMs }),
    })
    await limit.take(0)
    server.freeze()
    try {
      const all = await Promise.all(
        Array.from({ length: 200 }, (_, n) => timed(() => limit.take(n))),
      )
      expect(Math.max(...all.map(({ tookMs }) => tookMs))).toBeLessThan(150)
      expect(all.every(({ allowed, decidedBy }) => allowed && decidedBy === 'local')).toBe(true)
    } finally {
      server.thaw()
    }
  })

  test('blackholed, in both directions or only its answers: the same', async ({ open, server }) => {
    await using proxy = await startProxy(server)
    const { limits } = await open({}, `redis://${proxy.host}:${proxy.port}`)
    for (const direction of ['both', 'replies'] as const) {
      const limit = limits.define<undefined>(`hole-${direction}`, { policy })
      await isAsked(limits)
      expect((await limit.take(undefined)).decidedBy).toBe('redis')
      proxy.blackhole(direction)
      await expectSwift(limit)
      await proxy.heal()
      await isAsked(limits)
    }
  })

  test('killed, and absent from the start: decided at once; started, it decides', async ({
    open,
    server,
  }) => {
    const { limits } = await open()
    const limit = limits.define<undefined>('killed', { policy })
    await limit.take(undefined)
    await server.kill()
    await expectSwift(limit)
    await server.restart()
    await isAsked(limits)
    expect((await limit.take(undefined)).decidedBy).toBe('redis')

    const nowhere = openLimits('redis://127.0.0.1:1', 'nowhere')
    const lonely = nowhere.limits.define<undefined>('lonely', { policy })
    const first = await timed(() => lonely.take(undefined))
    expect(first).toMatchObject({ allowed: true, decidedBy: 'local' })
    expect(first.tookMs).toBeLessThan(100)
    expect(await lonely.reset(undefined)).toBe(false)
    await nowhere.close()
  })

  test('local: each process grants its share of the limit, all levels or none', async () => {
    const clock = { now: 0 }
    const { limits, close } = openLimits('redis://127.0.0.1:1', 'away', { now: () => clock.now })
    const half = limits.define('half', { policy })
    const admitted = async (limit: Limit<unknown>) => {
      let count = 0
      while ((await limit.take(undefined)).allowed) count++
      return count
    }
    expect(await admitted(half)).toBe(5)
    const refused = await half.take(undefined)
    expect(refused).toMatchObject({ allowed: false, decidedBy: 'local', remaining: 0 })
    clock.now += refused.retryAfterMs
    expect(await admitted(half)).toBe(1)

    expect(await admitted(limits.define('third', { policy, localShare: 0.34 }))).toBe(3)
    expect(
      await admitted(limits.define('tiny', { policy: fixedWindow({ limit: 1, windowMs }) })),
    ).toBe(1)

    const composed = limits.define<string>('composed', {
      levels: [
        { name: 'user', policy: fixedWindow({ limit: 4, windowMs }), key: (user) => user },
        { name: 'all', policy: fixedWindow({ limit: 6, windowMs }) },
      ],
    })
    const outcomes = []
    for (const user of ['a', 'a', 'a', 'a', 'b', 'b']) outcomes.push(await composed.take(user))
    expect(outcomes.map(({ allowed, level }) => (allowed ? 'allowed' : level))).toEqual([
      'allowed',
      'allowed',
      'user',
      'user',
      'allowed',
      'all',
    ])
    const queue = limits.define('queue', {
      policy: leakyBucket({ limit: 120, windowMs, queue: 3 }),
    })
    expect([(await queue.take(undefined)).waitMs, (await queue.take(undefined)).waitMs]).toEqual([
      0, 1_000,
    ])
    await close()
  })

  test('local: a refund gives back; somebody with countless keys takes no memory without end', async () => {
    const { limits, close } = openLimits('redis://127.0.0.1:1', 'away', { maxLocalKeys: 50 })
    const limit = limits.define<string>('keys', {
      policy: fixedWindow({ limit: 2, windowMs }),
      key: (user) => user,
    })
    const decision = await limit.take('usr_1')
    expect((await limit.take('usr_1')).allowed).toBe(false)
    expect(await limit.refund(decision)).toBe(true)
    expect((await limit.take('usr_1')).allowed).toBe(true)
    for (let n = 0; n < 200; n++) await limit.take(`other${n}`)
    expect((await limit.take('usr_1')).allowed).toBe(true)
    await close()
  })

  test('closed: refused at once, with a time to come back, and counted as such', async () => {
    const { limits, close } = openLimits('redis://127.0.0.1:1', 'away')
    const limit = limits.define<undefined>('closed', { policy, withoutRedis: 'closed' })
    const decision = await timed(() => limit.take(undefined))
    expect(decision).toMatchObject({ allowed: false, decidedBy: 'nobody', retryAfterMs: 1_000 })
    expect(limit.statistics()).toMatchObject({ closed: 1, refused: 0 })
    await close()
  })

  test('leased: what is held is granted, then the share decides', async ({ open, server }) => {
    const { limits } = await open()
    const limit = limits.define<undefined>('leased', { policy, lease: { size: 4 } })
    expect((await limit.take(undefined)).decidedBy).toBe('lease')
    server.freeze()
    try {
      const by: string[] = []
      for (let n = 0; n < 5; n++) by.push((await limit.take(undefined)).decidedBy)
      expect(by).toEqual(['lease', 'lease', 'lease', 'local', 'local'])
    } finally {
      server.thaw()
    }
    await isAsked(limits)
  })

  test('a Sentinel failover under load: no caller sees an error or waits longer than the deadline', async () => {
    await using group = await startSentinelGroup()
    const { limits, redis, close } = openLimits(group.url, 'failover')
    await redis.whenReady(10_000)
    const limit = limits.define<number>('failover', {
      policy: tokenBucket({ limit: 1_000_000, windowMs }),
      key: (n) => n % 10,
    })
    const by = new Set<string>()
    let slowestMs = 0
    const ends = new AbortController()
    const load = Array.from({ length: 8 }, async (_, n) => {
      while (!ends.signal.aborted) {
        const { allowed, decidedBy, tookMs } = await timed(() => limit.take(n))
        expect(allowed).toBe(true)
        by.add(decidedBy)
        slowestMs = Math.max(slowestMs, tookMs)
        await new Promise(setImmediate)
      }
    })
    const old = await group.master()
    group.freeze(old)
    await eventually(async () => expect(await group.master()).not.toBe(old), { withinMs: 15_000 })
    await isAsked(limits)
    await eventually(async () => expect((await limit.take(0)).decidedBy).toBe('redis'))
    ends.abort()
    await Promise.all(load)
    expect([...by].toSorted()).toEqual(['local', 'redis'])
    // The deadline, and room for a machine that runs six servers beside this.
    expect(slowestMs).toBeLessThan(300)
    group.thaw(old)
    await close()
  }, 60_000)
})
