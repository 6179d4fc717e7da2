import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { auditCache, tag, type AuditOptions, type Cache } from '../src/index.ts'
import { upperBound } from '../src/audit-report.ts'
import { test } from './setup.ts'

/** A source of rows that the test changes as it likes, and an audit that looks at every read. */
function watched(cache: Cache, options: Partial<AuditOptions> = {}) {
  const rows = new Map<string, unknown>()
  const plan = cache.define({
    row: {
      load: async (id: string) => rows.get(id),
      key: (id) => [id],
      ttl: '1h',
      tags: (id) => [`of:${id}`],
    },
  })
  const audit = auditCache({
    cache,
    sampleEvery: 1,
    rate: 10_000,
    everyMs: 100_000,
    wait: async () => {},
    ...options,
  })
  return { rows, plan, audit }
}

describe('C22 audit', () => {
  test('a change made behind the back of the cache is found, reported and repaired', async ({
    open,
  }) => {
    const { cache, registry } = await open()
    const { rows, plan, audit } = watched(cache)
    for (let id = 0; id < 20; id++) rows.set(`${id}`, { balance: id })
    for (const id of rows.keys()) {
      await plan.row.get(id)
      await eventually(async () => expect((await plan.row.read(id)).tier).toBe('l1'))
    }

    rows.set('7', { balance: 700 })
    const report = await audit.run()
    expect(report).toMatchObject({ checked: 20, inconsistent: 1, ratio: 0.95 })
    expect(report?.findings).toMatchObject([{ kind: 'row', key: expect.stringMatching(/:7$/) }])
    expect(await plan.row.get('7')).toEqual({ balance: 700 })
    expect(await registry.metrics()).toMatch(/wattle_cache_consistency_ratio\{[^}]*\} 0.95/)
    await audit.stop()
  })

  test('an entry that only L2 holds, and an absence that is no longer one, are found too', async ({
    open,
  }) => {
    const [reader, auditor] = [await open(), await open()]
    const rows = new Map([['a', 1]])
    const define = ({ cache }: typeof reader) =>
      cache.define({
        row: {
          load: async (id: string) => rows.get(id),
          key: (id) => [id],
          ttl: '1h',
          absentTtl: '1h',
          l1: false,
        },
      })
    const [there, here] = [define(reader), define(auditor)]
    const audit = auditCache({
      cache: auditor.cache,
      sampleEvery: 1,
      rate: 10_000,
      wait: async () => {},
    })
    for (const id of ['a', 'b']) {
      await there.row.get(id)
      await eventually(async () => expect((await here.row.read(id)).tier).toBe('l2'))
    }
    rows.set('a', 2).set('b', 3)
    expect(await audit.run()).toMatchObject({ checked: 2, inconsistent: 2 })
    await audit.stop()
  })

  test('an invalidation that arrives within the settling window is no finding', async ({
    open,
  }) => {
    const { cache } = await open()
    const waits: (() => void)[] = []
    const wait = () => new Promise<void>((done) => waits.push(done))
    const { rows, plan, audit } = watched(cache, { wait })
    for (const how of [() => plan.row.ref('a'), () => tag('of:a'), () => plan.row.all()]) {
      rows.set('a', 'before')
      await cache.invalidate([plan.row.ref('a')])
      await plan.row.get('a')
      await eventually(async () => expect((await plan.row.read('a')).tier).toBe('l1'))
      const then = audit.report()
      rows.set('a', 'after')
      const running = audit.run()
      const settle = await eventually(() => {
        const [next] = waits.splice(0, 1)
        expect(next).toBeDefined()
        return next
      })
      await cache.invalidate([how()])
      await plan.row.get('a')
      settle?.()
      await running
      expect(audit.report()).toMatchObject({ checked: then.checked + 1, inconsistent: 0 })
    }
    await audit.stop()
  })

  test('a source that changes all the time is undecided, not a finding', async ({ open }) => {
    const { cache } = await open()
    let reads = 0
    const plan = cache.define({
      clock: { load: async (_id: string) => reads++, key: (id) => [id], ttl: '1h' },
    })
    const audit = auditCache({ cache, sampleEvery: 1, rate: 10_000, wait: async () => {} })
    await plan.clock.get('a')
    await eventually(async () => expect((await plan.clock.read('a')).tier).toBe('l1'))
    expect(await audit.run()).toMatchObject({ checked: 0, inconsistent: 0, undecided: 1 })
    await audit.stop()
  })

  test('a source that fails is undecided, and a kind may say itself what is equal', async ({
    open,
  }) => {
    const { cache } = await open()
    let reads = 0
    const plan = cache.define({
      dated: { load: async (id: string) => ({ id, at: reads++ }), key: (id) => [id], ttl: '1h' },
      broken: {
        load: async (id: string) => (reads++ > 1 ? Promise.reject(new Error('away')) : id),
        key: (id) => [id],
        ttl: '1h',
      },
    })
    const audit = auditCache({
      cache,
      sampleEvery: 1,
      rate: 10_000,
      wait: async () => {},
      equal: { dated: (a, b) => (a as { id: string }).id === (b as { id: string }).id },
    })
    for (const kind of [plan.dated, plan.broken]) {
      await kind.get('a')
      await eventually(async () => expect((await kind.read('a')).tier).toBe('l1'))
    }
    expect(await audit.run()).toMatchObject({ checked: 1, inconsistent: 0, undecided: 1 })
    await audit.stop()
  })

  test('one process of a fleet audits at a time', async ({ open }) => {
    const [a, b] = [await open(), await open()]
    let settle: (() => void) | undefined
    const first = watched(a.cache, {
      wait: () => new Promise((done) => (settle = done)),
    })
    const second = watched(b.cache)
    first.rows.set('a', 1)
    await first.plan.row.get('a')
    await eventually(async () => expect((await first.plan.row.read('a')).tier).toBe('l1'))
    first.rows.set('a', 2)
    const running = first.audit.run()
    await eventually(() => expect(settle).toBeDefined())
    expect(await second.audit.run()).toBeUndefined()
    settle?.()
    await running
    expect(await second.audit.run()).toBeDefined()
    await Promise.all([first.audit.stop(), second.audit.stop()])
  })

  test('the bound is three over the sample size, and the exact limit where something was found', () => {
    expect(upperBound(0, 0)).toBe(1)
    expect(upperBound(0, 3_000_000)).toBe(0.000_001)
    // Half the 95 % quantiles of chi-square with 2 (k + 1) degrees of freedom, from published tables.
    expect(upperBound(1, 100) * 100).toBeCloseTo(4.744, 1)
    expect(upperBound(4, 100) * 100).toBeCloseTo(9.154, 1)
  })
})
