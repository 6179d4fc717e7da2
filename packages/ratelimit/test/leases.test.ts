import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { fixedWindow, slidingLog, tokenBucket } from '../src/index.ts'
import { test } from './support/setup.ts'

const windowMs = 60_000

const program = fileURLToPath(new URL('./processes/leasing.ts', import.meta.url))

/** A process of its own; `take` resolves with how much of at most so many it was allowed. */
async function startProcess(args: readonly string[]) {
  const child = fork(program, [...args], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const answer = async () => ((await once(child, 'message')) as [unknown])[0]
  expect(await answer()).toBe('ready')
  return {
    take(most: number) {
      const answered = answer()
      child.send(most)
      return answered as Promise<number>
    },
    stop: () => void child.kill('SIGKILL'),
  }
}

describe('L4 leases', () => {
  test('three processes of the system: together the limit, and three leases more when they held some from before', async ({
    server,
    service,
  }) => {
    const size = 20
    const args = [server.url, service, String(size)]
    const processes = await Promise.all([1, 2, 3].map(() => startProcess(args)))
    try {
      const takeAll = async (most: number) => {
        const taken = await Promise.all(processes.map((one) => one.take(most)))
        return taken.reduce((sum, one) => sum + one, 0)
      }
      expect(await takeAll(1)).toBe(3)
      // The window ends: what they hold was charged in it and is used in the next.
      const raw = server.client()
      await raw.del(`test:${service}:fixed-window@1:shared`)
      const admitted = await takeAll(1_000)
      expect(admitted).toBeGreaterThan(200)
      expect(admitted).toBeLessThanOrEqual(200 + processes.length * size)
    } finally {
      for (const one of processes) one.stop()
    }
  })

  test('most decisions cost no round trip', async ({ open, server }) => {
    const { limits } = await open()
    const limit = limits.define('leased', {
      policy: tokenBucket({ limit: 10_000, windowMs }),
      lease: { size: 500 },
    })
    await limit.take(undefined)
    const raw = server.client()
    const scripts = async () =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await raw.info('commandstats'))?.[1] ?? 0)
    const before = await scripts()
    for (let n = 0; n < 5_000; n++) {
      expect(await limit.take(undefined)).toMatchObject({ allowed: true, decidedBy: 'lease' })
    }
    // Half a lease at a time is asked for, and a little more when callers are faster than answers.
    expect((await scripts()) - before).toBeLessThan(100)
  })

  test.for([
    ['sliding log', slidingLog({ limit: 100, windowMs })],
    ['fixed window', fixedWindow({ limit: 100, windowMs })],
    ['token bucket', tokenBucket({ limit: 100, windowMs: 600_000, burst: 100 })],
  ] as const)(
    'several processes together admit no more than a %s grants, when all units are charged in the window',
    async ([, policy], { open }) => {
      const processes = await Promise.all(Array.from({ length: 4 }, () => open()))
      const all = processes.map(({ limits }) =>
        limits.define('shared', { policy, lease: { size: 10 } }),
      )
      let admitted = 0
      await Promise.all(
        all.map(async (limit) => {
          for (let n = 0; n < 60; n++) if ((await limit.take(undefined)).allowed) admitted++
        }),
      )
      expect(admitted).toBeLessThanOrEqual(100)
      // What others hold unused is what may be missing.
      expect(admitted).toBeGreaterThanOrEqual(100 - 3 * 10)
    },
  )

  test('the overshoot of a window is at most processes × size: units charged before it and used in it', async ({
    open,
    server,
  }) => {
    const size = 10
    const processes = await Promise.all(Array.from({ length: 4 }, () => open()))
    const all = processes.map(({ limits }) =>
      limits.define('overshoot', {
        policy: fixedWindow({ limit: 100, windowMs }),
        lease: { size, maxAgeMs: 3_600_000 },
      }),
    )
    // Every process takes one, and holds the rest of a lease when the window ends.
    await Promise.all(all.map((limit) => limit.take(undefined)))
    const [key = ''] = all[0]?.keysOf(undefined) ?? []
    await server.client().del(key)
    let admitted = 0
    await Promise.all(
      all.map(async (limit) => {
        for (let n = 0; n < 100; n++) if ((await limit.take(undefined)).allowed) admitted++
      }),
    )
    expect(admitted).toBeGreaterThan(100)
    expect(admitted).toBeLessThanOrEqual(100 + processes.length * size)
  })

  test('no process ever holds more than its size, on any schedule of calls, costs and refunds', async ({
    open,
  }) => {
    const { limits } = await open()
    const size = 7
    let round = 0
    const limit = limits.define<number>('held', {
      policy: slidingLog({ limit: 40, windowMs }),
      key: (n) => n,
      lease: { size },
    })
    const calls = fc.array(
      fc.record({ cost: fc.integer({ min: 1, max: 7 }), refund: fc.boolean() }),
      { maxLength: 40 },
    )
    await fc.assert(
      fc.asyncProperty(calls, async (plan) => {
        round++
        let net = 0
        await Promise.all(
          plan.map(async ({ cost, refund }) => {
            const decision = await limit.take(round, { cost })
            if (!decision.allowed) return
            net += cost
            if (refund && (await limit.refund(decision))) net -= cost
          }),
        )
        // Charged at Redis is what was used and what is held: never more than a lease beyond.
        const { remaining } = await limit.peek(round)
        expect(40 - remaining).toBeGreaterThanOrEqual(net)
        expect(40 - remaining).toBeLessThanOrEqual(net + size)
      }),
      { numRuns: 40 },
    )
  })

  test('an exhausted limit refuses without a round trip, says when to come back, and does', async ({
    open,
    server,
  }) => {
    const clock = { now: 0 }
    const { limits } = await open({ now: () => clock.now })
    const limit = limits.define('spent', {
      policy: fixedWindow({ limit: 5, windowMs }),
      lease: { size: 5 },
    })
    for (let n = 0; n < 5; n++) await limit.take(undefined)
    const refused = await limit.take(undefined)
    expect(refused).toMatchObject({ allowed: false, remaining: 0 })
    expect(refused.retryAfterMs).toBeGreaterThan(0)
    const raw = server.client()
    const [key = ''] = limit.keysOf(undefined)
    await raw.del(key)
    expect((await limit.take(undefined)).allowed).toBe(false)
    clock.now += 1_000
    expect((await limit.take(undefined)).allowed).toBe(true)
  })

  test('units that lie unused too long are not used any more', async ({ open }) => {
    const clock = { now: 0 }
    const { limits } = await open({ now: () => clock.now })
    const limit = limits.define('old', {
      policy: slidingLog({ limit: 20, windowMs }),
      lease: { size: 10, maxAgeMs: 5_000 },
    })
    await limit.take(undefined)
    expect((await limit.peek(undefined)).remaining).toBe(10)
    clock.now += 5_000
    await limit.take(undefined)
    expect((await limit.peek(undefined)).remaining).toBe(0)
  })
})
