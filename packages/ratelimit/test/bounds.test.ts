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
import { decideAt, freshKey, startUs } from './support/at.ts'
import { test } from './support/setup.ts'

const windowMs = 10_000
const windowUs = windowMs * 1000
const limit = 20

const policies: Record<string, Policy> = {
  'fixed window: twice the limit': fixedWindow({ limit, windowMs }),
  'sliding log: the limit': slidingLog({ limit, windowMs }),
  'sliding counter: twice the limit': slidingCounter({ limit, windowMs }),
  'token bucket: limit and burst': tokenBucket({ limit, windowMs }),
  'token bucket, half and half: the limit': tokenBucket({
    limit: limit / 2,
    windowMs,
    burst: limit / 2,
  }),
}

/** The most units in any window, half open: it begins with a unit. */
function busiest(times: readonly number[]): number {
  let most = 0
  for (let from = 0, to = 0; from < times.length; from++) {
    while (to < times.length && (times[to] ?? 0) < (times[from] ?? 0) + windowUs) to++
    most = Math.max(most, to - from)
  }
  return most
}

describe('L1 the bound in any sliding window', () => {
  test.for(Object.entries(policies))(
    '%s, whatever a client tries',
    async ([, policy], { server }) => {
      const redis = server.client()
      // Bursts at moments that are near the edges of windows, or anywhere.
      const bursts = fc.array(
        fc.record({
          waitUs: fc.oneof(
            fc.integer({ min: 1, max: windowUs }),
            fc.constantFrom(1, windowUs - 1, windowUs, windowUs / 2, windowUs / limit),
          ),
          tries: fc.integer({ min: 1, max: 2 * limit }),
        }),
        { minLength: 2, maxLength: 12 },
      )
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 0, max: windowUs }), bursts, async (offsetUs, plan) => {
          const key = freshKey()
          const admitted: number[] = []
          let atUs = startUs + offsetUs
          for (const { waitUs, tries } of plan) {
            atUs += waitUs
            for (let n = 0; n < tries; n++) {
              const { allowed } = await decideAt(redis, atUs, key, policy)
              if (!allowed) break
              admitted.push(atUs)
            }
          }
          expect(busiest(admitted)).toBeLessThanOrEqual(policy.bound)
        }),
        { numRuns: 40 },
      )
    },
  )

  test.for([
    ['fixed window', policies['fixed window: twice the limit'], 2 * limit - 1],
    ['token bucket', policies['token bucket: limit and burst'], 2 * limit - 1],
    ['sliding counter', policies['sliding counter: twice the limit'], 2 * limit - 1],
    ['sliding log', policies['sliding log: the limit'], limit],
    ['token bucket, half and half', policies['token bucket, half and half: the limit'], limit - 1],
  ] as const)(
    '%s: the patient client, who takes every unit when it is there, gets that far',
    async ([, policy, reached], { server }) => {
      if (policy === undefined) throw new Error('no such policy')
      const redis = server.client()
      const key = freshKey()
      const admitted: number[] = []
      const drain = async (atUs: number) => {
        while ((await decideAt(redis, atUs, key, policy)).allowed) admitted.push(atUs)
      }
      // Just before the edge of a window (they are aligned, or begin with the first unit), and at each moment after.
      const edgeUs = Math.ceil(startUs / windowUs + 1) * windowUs
      if (policy.algorithm === 'fixed-window') {
        const { allowed } = await decideAt(redis, edgeUs - windowUs, key, policy)
        if (allowed) admitted.push(edgeUs - windowUs)
      }
      await drain(edgeUs - 1)
      for (let step = 0; step <= 1_000; step += 10) await drain(edgeUs + (windowUs * step) / 1_000)
      const most = busiest(admitted)
      expect(most).toBe(reached)
    },
  )

  test('leaky bucket: whoever waits for its turn makes at most the limit in any window', async ({
    server,
  }) => {
    const redis = server.client()
    const policy = leakyBucket({ limit, windowMs, queue: 5 })
    const waits = fc.array(fc.integer({ min: 0, max: windowUs / 10 }), { maxLength: 80 })
    await fc.assert(
      fc.asyncProperty(waits, async (plan) => {
        const key = freshKey()
        const turns: number[] = []
        let atUs = startUs
        for (const waitUs of plan) {
          atUs += waitUs
          const verdict = await decideAt(redis, atUs, key, policy)
          if (verdict.allowed) turns.push(atUs + verdict.waitUs)
        }
        expect(busiest(turns)).toBeLessThanOrEqual(limit)
      }),
      { numRuns: 30 },
    )
  })
})
