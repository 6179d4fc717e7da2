import { AppError } from '@wattle/contracts'
import fc from 'fast-check'
import { eventually } from '@wattle/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { requireValid, revocations, type ChannelListener, type Revocation } from '../src/index.ts'
import { readRevocation, writeRevocation } from '../src/revocation/revocation.ts'
import { familyId, sessionId, startMs, userId } from './forge.ts'

const tokenId = 'tok_01936b0e-7c1a-7000-8000-000000000002'
const token = { tokenId, sessionId, familyId, userId, issuedAtMs: startMs - 500 }
const soonMs = startMs + 60_000

/** A view whose channel, source and clocks the test holds in its hand. */
async function world(options: { maxEntries?: number; isComplete?: boolean } = {}) {
  const held = {
    nowMs: startMs,
    monotonicMs: 0,
    trustedUntilMs: 1_000,
    loads: 0,
    live: [] as Revocation[] | undefined,
    fails: false,
  }
  if (options.isComplete === false) held.live = undefined
  let listener: ChannelListener | undefined
  const view = revocations({
    channel(given) {
      listener = given
      listener.lost()
      return {
        trustedUntilMs: () => held.trustedUntilMs,
        close: () => undefined,
      }
    },
    source: {
      load() {
        held.loads++
        return held.fails ? Promise.reject(new Error('away')) : Promise.resolve(held.live)
      },
    },
    retryMs: 5,
    now: () => held.nowMs,
    monotonicMs: () => held.monotonicMs,
    ...(options.maxEntries === undefined ? {} : { maxEntries: options.maxEntries }),
  })
  onTestFinished(() => view.close())
  const told = (...all: Revocation[]) =>
    listener?.message(all.map((one) => writeRevocation(one)).join('\n'))
  if (held.live !== undefined) await eventually(() => expect(view.check(token)).toBe('valid'))
  return {
    held,
    view,
    told,
    lose: () => listener?.lost(),
    raw: (text: string) => listener?.message(text),
  }
}

describe('T3 a view of revocations', () => {
  test.each([
    ['the token', tokenId],
    ['the session', sessionId],
    ['the family', familyId],
  ])('refuses %s that was revoked, at once, and no other', async (_what, id) => {
    const { view, told } = await world()
    told({ id, untilMs: soonMs })
    expect(view.check(token)).toBe('revoked')
    const other = { tokenId: 'tok_2', sessionId: 'ses_2', familyId: 'fam_2', userId, issuedAtMs: 0 }
    expect(view.check(other)).toBe('valid')
  })

  test('refuses all that a user was issued before a moment, and nothing later', async () => {
    const { view, told } = await world()
    told({ id: userId, untilMs: soonMs, issuedBeforeMs: startMs })
    expect(view.check(token)).toBe('revoked')
    expect(view.check({ ...token, issuedAtMs: startMs })).toBe('valid')
    told({ id: userId, untilMs: soonMs, issuedBeforeMs: startMs - 10_000 })
    expect(view.check(token)).toBe('revoked')
  })

  test('does not know while its channel cannot prove that nothing is missing; what it knows stays refused', async () => {
    const { view, told, held } = await world()
    told({ id: 'ses_2', untilMs: soonMs })
    held.monotonicMs = 999
    expect(view.check(token)).toBe('valid')
    held.monotonicMs = 1_000
    expect(view.check(token)).toBe('unknown')
    expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('revoked')
    held.trustedUntilMs = 2_000
    expect(view.check(token)).toBe('valid')
  })

  test('does not know after a loss until all have been read again, however long that takes', async () => {
    const { view, held, lose } = await world()
    held.live = undefined
    lose()
    expect(view.check(token)).toBe('unknown')
    const before = held.loads
    await eventually(() => expect(held.loads).toBeGreaterThan(before + 2))
    held.fails = true
    await eventually(() => expect(held.loads).toBeGreaterThan(before + 4))
    expect(view.check(token)).toBe('unknown')
    held.fails = false
    held.live = [{ id: sessionId, untilMs: soonMs }]
    await eventually(() => expect(view.check(token)).toBe('revoked'))
    expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('valid')
  })

  test('a loss during a reload is followed by another reload', async () => {
    const { view, held, lose } = await world()
    const gate = Promise.withResolvers<Revocation[]>()
    let isHeld = true
    Object.defineProperty(held, 'live', { get: () => (isHeld ? gate.promise : []) })
    lose()
    await eventually(() => expect(held.loads).toBe(2))
    lose()
    isHeld = false
    gate.resolve([])
    await eventually(() => expect(view.check(token)).toBe('valid'))
    expect(held.loads).toBe(3)
  })

  test('keeps what it was told while it reloads', async () => {
    const { view, held, told, lose } = await world()
    held.live = undefined
    lose()
    told({ id: sessionId, untilMs: soonMs })
    held.live = []
    await eventually(() => expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('valid'))
    expect(view.check(token)).toBe('revoked')
  })

  test('forgets what no token is left for', async () => {
    const { view, told, held } = await world()
    for (let n = 0; n < 100; n++) told({ id: `ses_${n}`, untilMs: startMs + 1_000 + n })
    expect(view.size).toBe(100)
    held.nowMs += 2_000
    told({ id: sessionId, untilMs: soonMs })
    expect(view.size).toBe(1)
    told({ id: 'ses_late', untilMs: held.nowMs })
    expect(view.size).toBe(1)
  })

  test('holds its bound, and says unknown, never valid, for what it had to drop', async () => {
    const { view, told, held } = await world({ maxEntries: 10 })
    for (let n = 0; n < 1_000; n++) told({ id: `ses_${n}`, untilMs: startMs + 1_000 + n })
    expect(view.size).toBe(10)
    expect(view.check({ ...token, sessionId: 'ses_0' })).toBe('unknown')
    expect(view.check({ ...token, sessionId: 'ses_999' })).toBe('revoked')
    held.nowMs = startMs + 1_989
    expect(view.check({ ...token, sessionId: 'ses_0' })).toBe('valid')
  })

  test('is not misled by messages that it cannot read', async () => {
    const { view, raw } = await world()
    for (const text of ['', 'ses_1', 'ses_1 x', `usr_1 ${soonMs}`, `bil_1 ${soonMs}`, '{}', '\0']) {
      raw(text)
    }
    expect(view.size).toBe(0)
    raw(`nonsense\n${sessionId} ${soonMs}`)
    expect(view.check(token)).toBe('revoked')
  })

  test('never calls valid what was revoked, whatever comes in whatever order', async () => {
    const ids = [tokenId, sessionId, familyId, 'ses_2', 'fam_2']
    const step = fc.oneof(
      fc.record({
        do: fc.constant('tell' as const),
        id: fc.constantFrom(...ids),
        life: fc.integer({ min: 1, max: 5_000 }),
      }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
      fc.record({ do: fc.constant('lose' as const) }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, maxEntries) => {
          const { view, told, held, lose } = await world({ maxEntries })
          const model = new Map<string, number>()
          for (const one of steps) {
            if (one.do === 'wait') held.nowMs += one.ms
            else if (one.do === 'lose') lose()
            else {
              const untilMs = held.nowMs + one.life
              model.set(one.id, Math.max(untilMs, model.get(one.id) ?? 0))
              held.live = [...model].map(([id, until]) => ({ id, untilMs: until }))
              told({ id: one.id, untilMs })
            }
            const isRevoked = [tokenId, sessionId, familyId].some(
              (id) => (model.get(id) ?? 0) > held.nowMs,
            )
            if (isRevoked) expect(view.check(token)).not.toBe('valid')
          }
          await view.close()
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('T3 what a route does with a token', () => {
  const thrown = (run: () => void): unknown => {
    try {
      run()
      return undefined
    } catch (error) {
      return error instanceof AppError ? error.code : error
    }
  }

  test.each([
    ['valid', 'open', undefined],
    ['valid', 'closed', undefined],
    ['revoked', 'open', 'UNAUTHENTICATED'],
    ['revoked', 'closed', 'UNAUTHENTICATED'],
    ['unknown', 'open', undefined],
    ['unknown', 'closed', 'UNAVAILABLE'],
  ] as const)('that is %s, where the route fails %s: %s', (value, whenUnknown, code) => {
    expect(thrown(() => requireValid(value, whenUnknown))).toBe(code)
  })

  test('is open where the route does not say', () => {
    expect(thrown(() => requireValid('unknown'))).toBeUndefined()
  })
})

describe('T3 the text of a revocation', () => {
  test('comes back as it went', () => {
    for (const one of [
      { id: sessionId, untilMs: soonMs },
      { id: userId, untilMs: soonMs, issuedBeforeMs: startMs },
    ]) {
      expect(readRevocation(writeRevocation(one))).toEqual(one)
    }
  })
})
