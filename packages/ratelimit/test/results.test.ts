import { eventually } from '@wattle/testkit'
import { Registry } from 'prom-client'
import { describe, expect } from 'vitest'
import { byAddress, fixedWindow, leakyBucket, slidingLog, tokenBucket } from '../src/index.ts'
import { test } from './support/setup.ts'

const windowMs = 60_000

describe('L2 what a decision says', () => {
  test('allowed, limit, remaining, retry-after and reset, with the level that tells', async ({
    open,
  }) => {
    const { limits } = await open()
    const search = limits.define<string>('search', {
      policy: fixedWindow({ limit: 2, windowMs }),
      key: (user) => user,
    })
    expect(await search.take('usr_1')).toMatchObject({
      allowed: true,
      level: 'search',
      limit: 2,
      remaining: 1,
      retryAfterMs: 0,
      decidedBy: 'redis',
    })
    expect(await search.take('usr_1')).toMatchObject({ allowed: true, remaining: 0 })
    const refused = await search.take('usr_1')
    expect(refused).toMatchObject({ allowed: false, remaining: 0 })
    expect(refused.retryAfterMs).toBeGreaterThan(windowMs - 5_000)
    expect(refused.retryAfterMs).toBeLessThanOrEqual(windowMs)
    expect(refused.resetMs).toBe(refused.retryAfterMs)
    expect(await search.take('usr_2')).toMatchObject({ allowed: true })
  })

  test('a peek says what a call would meet, and charges nothing', async ({ open }) => {
    const { limits } = await open()
    const limit = limits.define('calls', { policy: tokenBucket({ limit: 2, windowMs }) })
    for (let n = 0; n < 5; n++) {
      expect(await limit.peek(undefined)).toMatchObject({ allowed: true, remaining: 2 })
    }
    await limit.take(undefined, { cost: 2 })
    expect(await limit.peek(undefined)).toMatchObject({ allowed: false, remaining: 0 })
    expect(limit.statistics()).toMatchObject({ allowed: 1, refused: 0 })
  })

  test('a call costs what it says; a refused cost is not charged, an impossible one is an error', async ({
    open,
  }) => {
    const { limits } = await open()
    const limit = limits.define('units', { policy: slidingLog({ limit: 10, windowMs }) })
    expect(await limit.take(undefined, { cost: 7 })).toMatchObject({ remaining: 3 })
    expect(await limit.take(undefined, { cost: 4 })).toMatchObject({ allowed: false, remaining: 3 })
    expect(await limit.take(undefined, { cost: 3 })).toMatchObject({ allowed: true, remaining: 0 })
    for (const cost of [0, -1, 1.5, 11]) {
      expect(() => limit.take(undefined, { cost })).toThrow(/costs .* give a whole number from 1/)
    }
  })

  test('a refund gives back what was charged, once', async ({ open }) => {
    const { limits } = await open()
    const limit = limits.define('uploads', { policy: slidingLog({ limit: 3, windowMs }) })
    const decision = await limit.take(undefined, { cost: 3 })
    expect(await limit.refund(decision)).toBe(true)
    expect(await limit.refund(decision)).toBe(false)
    expect(await limit.take(undefined, { cost: 2 })).toMatchObject({ remaining: 1 })
    const refused = await limit.take(undefined, { cost: 2 })
    expect(await limit.refund(refused)).toBe(false)
    expect(limit.statistics()).toMatchObject({ allowed: 2, refused: 1, refunded: 1 })
  })

  test('a reset forgets one context, and not what is counted for all', async ({ open }) => {
    const { limits } = await open()
    const limit = limits.define<string>('orders', {
      levels: [
        { name: 'user', policy: tokenBucket({ limit: 1, windowMs }), key: (user) => user },
        { name: 'all', policy: tokenBucket({ limit: 10, windowMs }) },
      ],
    })
    await limit.take('usr_1')
    await limit.take('usr_2')
    expect(await limit.reset('usr_1')).toBe(true)
    const levels = (await limit.peek('usr_1')).levels.map(({ level, remaining }) => [
      level,
      remaining,
    ])
    expect(levels).toEqual([
      ['user', 1],
      ['all', 8],
    ])
    expect(await limit.take('usr_2')).toMatchObject({ allowed: false, level: 'user' })
    await limit.reset('usr_1', ['all'])
    expect((await limit.peek('usr_1')).levels[1]).toMatchObject({ remaining: 10 })
  })

  test('the hook is called when the limit is reached, and what it throws reaches no caller', async ({
    open,
  }) => {
    const { limits, log } = await open()
    const seen: string[] = []
    const limit = limits.define<string>('hooked', {
      policy: fixedWindow({ limit: 1, windowMs }),
      key: (user) => user,
      onReached({ level, retryAfterMs }, user) {
        seen.push(`${user} ${level} ${retryAfterMs > 0}`)
        throw new Error('a hook that fails')
      },
    })
    await limit.take('usr_1')
    expect(seen).toEqual([])
    expect(await limit.take('usr_1')).toMatchObject({ allowed: false })
    expect(seen).toEqual(['usr_1 hooked true'])
    expect(log.lines).toEqual(['error what is called when a limit is reached threw'])
  })

  test('a queue says how long to wait for the turn', async ({ open }) => {
    const { limits } = await open()
    const limit = limits.define('queue', {
      policy: leakyBucket({ limit: 60, windowMs, queue: 1 }),
    })
    expect(await limit.take(undefined)).toMatchObject({ allowed: true, waitMs: 0 })
    const second = await limit.take(undefined)
    expect(second.allowed).toBe(true)
    expect(second.waitMs).toBeGreaterThan(800)
    expect(second.waitMs).toBeLessThanOrEqual(1_000)
    expect(await limit.take(undefined)).toMatchObject({ allowed: false, waitMs: 0 })
  })

  test('metrics count decisions by limit and result', async ({ open, service }) => {
    const registry = new Registry()
    const { limits } = await open({ registry })
    const limit = limits.define('counted', { policy: fixedWindow({ limit: 2, windowMs }) })
    for (let n = 0; n < 5; n++) await limit.take(undefined)
    const text = await registry.metrics()
    const line = (result: string, count: number) =>
      `wattle_ratelimit_decisions_total{service="${service}",limit="counted",result="${result}"} ${count}`
    expect(text).toContain(line('allowed', 2))
    expect(text).toContain(line('refused', 3))
    expect(text).toContain(`wattle_ratelimit_circuit_state{service="${service}"} 0`)
    expect(limit.statistics().refusedBy).toEqual({ counted: 3 })
  })

  test('every key is in the namespace, has a TTL and holds nothing personal in clear', async ({
    open,
    server,
    service,
  }) => {
    const { limits } = await open()
    const limit = limits.define<string>('login', {
      levels: [
        { name: 'address', policy: fixedWindow({ limit: 5, windowMs }), key: byAddress },
        {
          name: 'account',
          policy: slidingLog({ limit: 5, windowMs }),
          key: () => 'ada@example.com',
        },
      ],
    })
    await limit.take('192.0.2.17')
    const raw = server.client()
    const keys = (await raw.keys(`test:${service}:*`)).toSorted()
    expect(keys).toEqual(limit.keysOf('192.0.2.17').toSorted())
    expect(keys).toEqual([
      expect.stringMatching(`^test:${service}:fixed-window@1:{login}:login:address:~p[\\w-]{22}$`),
      expect.stringMatching(`^test:${service}:sliding-log@1:{login}:login:account:~p[\\w-]{22}$`),
    ])
    for (const key of keys) expect(await raw.pttl(key)).toBeGreaterThan(0)
  })

  test('a key that somebody else wrote spoils the calls of nobody else, and throws at nobody', async ({
    open,
    server,
  }) => {
    const { limits, log } = await open()
    const limit = limits.define<string>('robust', {
      policy: fixedWindow({ limit: 5, windowMs }),
      key: (user) => user,
    })
    const [key = ''] = limit.keysOf('broken')
    await server.client().hset(key, 'some', 'thing')
    const decisions = await Promise.all(
      ['whole', 'broken', 'also-whole'].map((user) => limit.take(user)),
    )
    expect(decisions.map(({ decidedBy }) => decidedBy)).toEqual(['redis', 'local', 'redis'])
    await limit.take('broken')
    expect(log.lines).toEqual(['error Redis refuses to decide limits'])
  })

  test('a limit that is declared wrongly is refused in one sentence', async ({ open }) => {
    const { limits } = await open()
    const policy = fixedWindow({ limit: 5, windowMs })
    limits.define('once', { policy })
    expect(() => limits.define('once', { policy })).toThrow(/^There is a limit once already/)
    expect(() => limits.define('A b', { policy })).toThrow(/lower-case letters/)
    expect(() => limits.define('none', { levels: [] })).toThrow(/has no level/)
    const twice = { name: 'same', policy }
    expect(() => limits.define('twice', { levels: [twice, twice] })).toThrow(
      /two levels of one name/,
    )
    expect(() => limits.define('share', { policy, localShare: 0 })).toThrow(/localShare .* is 0/)
    expect(() => limits.define('lease', { policy, lease: { size: 6 } })).toThrow(/from 1 to 5/)
    const scaling = [{ name: 'all', policy, scale: () => 1 }]
    expect(() => limits.define('both', { levels: scaling, lease: { size: 1 } })).toThrow(/neither/)
    await eventually(async () => expect(limits.isRedisAsked).toBe(true))
  })
})
