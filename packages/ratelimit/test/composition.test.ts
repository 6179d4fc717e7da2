import fc from 'fast-check'
import { describe, expect } from 'vitest'
import {
  adaptive,
  countryFromHeader,
  dependency,
  fixedWindow,
  shedLowFirst,
  slidingLog,
  tokenBucket,
} from '../src/index.ts'
import { test } from './support/setup.ts'

const windowMs = 60_000

type Call = { user: string; address: string; endpoint: string }
const call = { user: 'usr_1', address: '192.0.2.1', endpoint: 'pay' }

describe('L3 composition', () => {
  test('user, address, endpoint and global: all are charged, or none, and the one that refused is named', async ({
    open,
  }) => {
    const { limits } = await open()
    const limit = limits.define<Call>('pay', {
      levels: [
        { name: 'user', policy: slidingLog({ limit: 4, windowMs }), key: ({ user }) => user },
        { name: 'address', policy: tokenBucket({ limit: 6, windowMs }), key: (c) => c.address },
        { name: 'endpoint', policy: fixedWindow({ limit: 5, windowMs }), key: (c) => c.endpoint },
        { name: 'global', policy: fixedWindow({ limit: 100, windowMs }) },
      ],
    })
    const left = async (of: Call) =>
      Object.fromEntries((await limit.peek(of)).levels.map((one) => [one.level, one.remaining]))
    for (let n = 0; n < 4; n++) expect((await limit.take(call)).allowed).toBe(true)
    const before = await left(call)
    expect(before).toEqual({ user: 0, address: 2, endpoint: 1, global: 96 })
    for (let n = 0; n < 10; n++) {
      expect(await limit.take(call)).toMatchObject({ allowed: false, level: 'user', remaining: 0 })
    }
    expect(await left(call)).toEqual(before)
    const other = { ...call, user: 'usr_2' }
    expect(await limit.take(other)).toMatchObject({
      allowed: true,
      level: 'endpoint',
      remaining: 0,
    })
    expect(await limit.take(other)).toMatchObject({ allowed: false, level: 'endpoint' })
    expect(limit.statistics().refusedBy).toEqual({ user: 10, endpoint: 1 })
  })

  test('whatever the order of calls, no level is ever charged for what another refused', async ({
    open,
  }) => {
    const { limits } = await open()
    const people = ['usr_1', 'usr_2', 'usr_3']
    let round = 0
    const limit = limits.define<{ user: string; round: number }>('shared', {
      levels: [
        {
          name: 'user',
          policy: fixedWindow({ limit: 5, windowMs }),
          key: ({ user, round: at }) => [user, at],
        },
        {
          name: 'all',
          policy: slidingLog({ limit: 9, windowMs }),
          key: ({ round: at }) => at,
        },
      ],
    })
    const plan = fc.array(
      fc.record({ user: fc.constantFrom(...people), cost: fc.integer({ min: 1, max: 3 }) }),
      { maxLength: 15 },
    )
    await fc.assert(
      fc.asyncProperty(plan, async (calls) => {
        round++
        const used: Record<string, number> = {}
        // All in one turn: they are decided in their order.
        const decisions = await Promise.all(
          calls.map(({ user, cost }) => limit.take({ user, round }, { cost })),
        )
        let all = 0
        for (const [n, { user, cost }] of calls.entries()) {
          const fits = (used[user] ?? 0) + cost <= 5 && all + cost <= 9
          expect(decisions[n]?.allowed).toBe(fits)
          if (!fits) continue
          used[user] = (used[user] ?? 0) + cost
          all += cost
        }
      }),
      { numRuns: 40 },
    )
  })

  test('the levels of a call cost one round trip, and so do the calls of one turn', async ({
    open,
    server,
  }) => {
    const { limits } = await open()
    const limit = limits.define<number>('trips', {
      levels: ['a', 'b', 'c', 'd'].map((name) => ({
        name,
        policy: tokenBucket({ limit: 1_000, windowMs }),
        key: (n: number) => `${name}${n % 3}`,
      })),
    })
    await limit.take(0)
    const raw = server.client()
    const scripts = async () =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await raw.info('commandstats'))?.[1])
    const before = await scripts()
    await limit.take(1)
    expect(await scripts()).toBe(before + 1)
    await Promise.all(Array.from({ length: 16 }, (_, n) => limit.take(n)))
    expect(await scripts()).toBe(before + 2)
  })

  test('a burst over a sustained rate: both hold', async ({ open }) => {
    const { limits } = await open()
    const limit = limits.define('bursty', {
      levels: [
        { name: 'burst', policy: fixedWindow({ limit: 3, windowMs: 1_000 }) },
        { name: 'sustained', policy: tokenBucket({ limit: 60, windowMs, burst: 5 }) },
      ],
    })
    const levels = []
    for (let n = 0; n < 4; n++) levels.push((await limit.take(undefined)).level)
    expect(levels.at(-1)).toBe('burst')
    await limit.reset(undefined, ['burst'])
    for (let n = 0; n < 2; n++) expect((await limit.take(undefined)).allowed).toBe(true)
    await limit.reset(undefined, ['burst'])
    expect(await limit.take(undefined)).toMatchObject({ allowed: false, level: 'sustained' })
  })

  test('when it runs low, low priority is shed first, then normal, high last', async ({ open }) => {
    const { limits } = await open()
    const limit = limits.define('shedding', {
      levels: [
        { name: 'all', policy: fixedWindow({ limit: 10, windowMs }), reserve: shedLowFirst },
      ],
    })
    const admitted = { low: 0, normal: 0, high: 0 }
    for (const priority of ['low', 'normal', 'high'] as const) {
      while ((await limit.take(undefined, { priority })).allowed) admitted[priority]++
    }
    expect(admitted).toEqual({ low: 5, normal: 3, high: 2 })
    expect(await limit.peek(undefined, { priority: 'low' })).toMatchObject({ remaining: 0 })
  })

  test('a rule for a country applies where a trusted proxy names it, and not without', async ({
    open,
  }) => {
    const { limits } = await open()
    type Request = Parameters<ReturnType<typeof countryFromHeader>>[0]
    const request = (remoteAddress: string, country?: string) =>
      ({
        raw: {
          headers: country === undefined ? {} : { 'cf-ipcountry': country },
          socket: { remoteAddress },
        },
      }) as unknown as Request
    const countryOf = countryFromHeader('CF-IPCountry', ['10.0.0.0/8'])
    const ofCountry = {
      NG: fixedWindow({ limit: 3, windowMs }),
      KP: fixedWindow({ limit: 1, windowMs }),
    }
    const limit = limits.define<Request>('countries', {
      levels: [
        {
          name: 'country',
          policy: (from) => ofCountry[countryOf(from) as keyof typeof ofCountry],
          key: (from) => countryOf(from),
        },
        { name: 'global', policy: fixedWindow({ limit: 1_000, windowMs }) },
      ],
    })
    expect(await limit.take(request('10.1.2.3', 'kp'))).toMatchObject({
      allowed: true,
      level: 'country',
    })
    expect(await limit.take(request('10.1.2.3', 'KP'))).toMatchObject({
      allowed: false,
      level: 'country',
    })
    expect(await limit.take(request('10.1.2.3', 'NG'))).toMatchObject({
      allowed: true,
      remaining: 2,
    })
    for (const from of [
      request('10.1.2.3'),
      request('10.1.2.3', 'GH'),
      request('203.0.113.9', 'KP'),
      request('10.1.2.3', 'nonsense'),
    ]) {
      expect(await limit.take(from)).toMatchObject({ allowed: true, level: 'global' })
    }
  })

  test('an adaptive limit halves while there is overload, and grows back step by step', async ({
    open,
  }) => {
    const { limits } = await open()
    const load = { overloaded: false, now: 0 }
    const scale = adaptive({
      overloaded: () => load.overloaded,
      least: 0.2,
      increase: 0.1,
      everyMs: 1_000,
      now: () => load.now,
    })
    const limit = limits.define('adapting', {
      levels: [{ name: 'all', policy: tokenBucket({ limit: 100, windowMs }), scale }],
    })
    const capacity = async () => (await limit.peek(undefined)).remaining
    const later = (ms: number) => (load.now += ms)
    expect(await capacity()).toBe(100)
    load.overloaded = true
    expect(await capacity()).toBe(100)
    const shrinking = []
    for (let n = 0; n < 4; n++) {
      later(1_000)
      shrinking.push(await capacity())
    }
    expect(shrinking).toEqual([50, 25, 20, 20])
    load.overloaded = false
    later(1_000)
    expect(await capacity()).toBe(30)
    later(3_000)
    expect(await capacity()).toBe(60)
    later(3_600_000)
    expect(await capacity()).toBe(100)
  })

  test('callers are refused while the limit of what they depend on is exhausted, and do not charge it', async ({
    open,
  }) => {
    const { limits } = await open()
    const processor = limits.define<string>('processor', {
      policy: fixedWindow({ limit: 2, windowMs }),
      key: (name) => name,
      group: 'payments',
    })
    const pay = limits.define<{ user: string; processor: string }>('paying', {
      policy: tokenBucket({ limit: 100, windowMs }),
      key: ({ user }) => user,
      group: 'payments',
      dependsOn: [dependency(processor, (context) => context.processor)],
    })
    const card = { user: 'usr_1', processor: 'card' }
    for (let n = 0; n < 5; n++) expect((await pay.take(card)).allowed).toBe(true)
    expect((await processor.peek('card')).remaining).toBe(2)
    await processor.take('card', { cost: 2 })
    expect(await pay.take(card)).toMatchObject({ allowed: false, level: 'processor' })
    expect((await pay.take({ ...card, processor: 'bank' })).allowed).toBe(true)
    await processor.reset('card')
    expect((await pay.take(card)).levels[0]).toMatchObject({ remaining: 93 })
    expect(() =>
      limits.define('elsewhere', {
        policy: tokenBucket({ limit: 1, windowMs }),
        dependsOn: [dependency(processor, () => 'card')],
      }),
    ).toThrow(/give both the same group/)
  })
})
