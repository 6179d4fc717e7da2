import fc from 'fast-check'
import { describe, expect } from 'vitest'
import {
  fixedWindow,
  leakyBucket,
  slidingCounter,
  slidingLog,
  tokenBucket,
  type Policy,
} from '../src/index.ts'
import { decideAt, extraTtlMs, freshKey, startUs } from './support/at.ts'
import { modelOf } from './support/models.ts'
import { test } from './support/setup.ts'

const windowMs = 10_000
const windowUs = windowMs * 1000
const policies: Record<string, Policy> = {
  'fixed window': fixedWindow({ limit: 7, windowMs }),
  'sliding log': slidingLog({ limit: 7, windowMs }),
  'sliding counter': slidingCounter({ limit: 7, windowMs }),
  'token bucket': tokenBucket({ limit: 7, windowMs }),
  'token bucket with a burst': tokenBucket({ limit: 10, windowMs, burst: 3 }),
  'leaky bucket': leakyBucket({ limit: 7, windowMs, queue: 4 }),
}
const cases = Object.entries(policies)

const steps = fc.array(
  fc.record({
    waitUs: fc.oneof(
      fc.integer({ min: 0, max: 3_000_000 }),
      fc.constantFrom(
        0,
        1,
        windowUs / 10,
        Math.floor(windowUs / 7),
        windowUs - 1,
        windowUs,
        windowUs + 1,
      ),
    ),
    units: fc.integer({ min: 1, max: 3 }),
  }),
  { minLength: 1, maxLength: 40 },
)

describe('L1 each algorithm', () => {
  test.for(cases)(
    '%s decides as its model does, on any schedule of calls',
    async ([, policy], { server }) => {
      const redis = server.client()
      await fc.assert(
        fc.asyncProperty(steps, async (calls) => {
          const key = freshKey()
          const model = modelOf(policy)
          let atUs = startUs
          for (const { waitUs, units } of calls) {
            atUs += waitUs
            const verdict = await decideAt(redis, atUs, key, policy, { need: units, most: units })
            expect(verdict.allowed).toBe(model(atUs, units))
          }
        }),
        { numRuns: 40 },
      )
    },
  )

  test.for(cases)(
    '%s says exactly how long to wait: then it allows, a moment before it does not',
    async ([, policy], { server }) => {
      const redis = server.client()
      await fc.assert(
        fc.asyncProperty(steps, fc.integer({ min: 1, max: 3 }), async (calls, units) => {
          const key = freshKey()
          let atUs = startUs
          for (const call of calls) {
            atUs += call.waitUs
            await decideAt(redis, atUs, key, policy, { need: call.units, most: call.units })
          }
          const peek = { need: units, most: 0 }
          const { allowed, waitUs } = await decideAt(redis, atUs, key, policy, peek)
          if (allowed) return
          expect(waitUs).toBeGreaterThan(0)
          expect((await decideAt(redis, atUs + waitUs - 2, key, policy, peek)).allowed).toBe(false)
          expect((await decideAt(redis, atUs + waitUs, key, policy, peek)).allowed).toBe(true)
        }),
        { numRuns: 40 },
      )
    },
  )

  test.for(cases)(
    '%s charges nothing for a refused call, and nothing for a peek',
    async ([, policy], { server }) => {
      const redis = server.client()
      const key = freshKey()
      const most = policy.capacity
      expect((await decideAt(redis, startUs, key, policy, { need: most })).allowed).toBe(true)
      const before = await redis.dump(key)
      const refused = await decideAt(redis, startUs + 1, key, policy)
      expect(refused).toMatchObject({ allowed: false, remaining: 0 })
      await decideAt(redis, startUs + 1, key, policy, { need: 1, most: 0 })
      expect(await redis.dump(key)).toEqual(before)
    },
  )

  test.for(cases)(
    '%s leaves no key without a TTL, and none that outlives two windows',
    async ([, policy], { server }) => {
      const redis = server.client()
      const key = freshKey()
      for (let call = 0; call < 3; call++) {
        await decideAt(redis, startUs + call * 1_000, key, policy)
        const ttlMs = (await redis.pttl(key)) - extraTtlMs
        expect(ttlMs).toBeGreaterThan(0)
        expect(ttlMs).toBeLessThanOrEqual(2 * windowMs + 1)
      }
    },
  )

  test.for(cases)(
    '%s counts a refunded call as if it had not been made',
    async ([, policy], { server }) => {
      const redis = server.client()
      const key = freshKey()
      await decideAt(redis, startUs, key, policy)
      const before = await decideAt(redis, startUs + 10, key, policy, { need: 1, most: 0 })
      await decideAt(redis, startUs + 10, key, policy, { need: 2 })
      const back = { need: 0, most: -2, chargedAtUs: startUs + 10 }
      await decideAt(redis, startUs + 20, key, policy, back)
      const after = await decideAt(redis, startUs + 10, key, policy, { need: 1, most: 0 })
      expect(after.remaining).toBe(before.remaining)
    },
  )

  test.for(cases.filter(([, { algorithm }]) => /window|sliding/.test(algorithm)))(
    '%s does not give a later window what was charged in an earlier one',
    async ([, policy], { server }) => {
      const redis = server.client()
      const key = freshKey()
      await decideAt(redis, startUs, key, policy, { need: 7 })
      const laterUs = startUs + 2 * windowUs
      await decideAt(redis, laterUs, key, policy, { need: 7 })
      await decideAt(redis, laterUs + 1, key, policy, { need: 0, most: -7, chargedAtUs: startUs })
      expect((await decideAt(redis, laterUs + 2, key, policy)).allowed).toBe(false)
    },
  )

  test.for(cases)(
    '%s on a server whose clock is an hour behind blocks for two windows at most',
    async ([, policy], { server }) => {
      const redis = server.client()
      const key = freshKey()
      await decideAt(redis, startUs, key, policy, { need: policy.capacity })
      const behindUs = startUs - 3_600_000_000
      const { allowed, waitUs } = await decideAt(redis, behindUs, key, policy)
      expect(allowed || waitUs <= 2 * windowUs).toBe(true)
    },
  )

  test('a queue gives each call its turn, one interval after the other', async ({ server }) => {
    const redis = server.client()
    const key = freshKey()
    const policy = leakyBucket({ limit: 10, windowMs, queue: 2 })
    const turns = []
    for (let call = 0; call < 4; call++) turns.push(await decideAt(redis, startUs, key, policy))
    expect(turns.map(({ allowed }) => allowed)).toEqual([true, true, true, false])
    expect(turns.map(({ waitUs }) => waitUs)).toEqual([0, 1_000_000, 2_000_000, 1_000_000])
  })

  test('a million units a day are counted exactly', async ({ server }) => {
    const redis = server.client()
    const dayMs = 86_400_000
    for (const policy of [
      tokenBucket({ limit: 1_000_000, windowMs: dayMs }),
      fixedWindow({ limit: 1_000_000, windowMs: dayMs }),
    ]) {
      const key = freshKey()
      await decideAt(redis, startUs, key, policy, { need: 999_999 })
      expect(await decideAt(redis, startUs, key, policy)).toMatchObject({
        allowed: true,
        remaining: 0,
      })
      expect((await decideAt(redis, startUs, key, policy)).allowed).toBe(false)
    }
  })

  test('a policy that cannot be counted exactly is refused in one sentence', () => {
    expect(() => tokenBucket({ limit: 0, windowMs })).toThrow(/^The limit of a limit is 0: give/)
    expect(() => fixedWindow({ limit: 1.5, windowMs })).toThrow(/whole number/)
    expect(() => tokenBucket({ limit: 700_000, windowMs: 1_000 })).toThrow(/rounder one/)
    expect(() => slidingLog({ limit: 20_000, windowMs })).toThrow(/at most 10,000/)
    expect(() => slidingCounter({ limit: 1e9, windowMs: 86_400_000 })).toThrow(/too large/)
    expect(() => leakyBucket({ limit: 1, windowMs, queue: -1 })).toThrow(/queue .* is -1/)
    expect(() => fixedWindow({ limit: 1, windowMs: 40 * 86_400_000 })).toThrow(/31 days/)
  })
})
