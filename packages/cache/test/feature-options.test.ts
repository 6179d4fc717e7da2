import { describe, expect } from 'vitest'
import {
  auditCache,
  checkBudgets,
  createLocks,
  createWarming,
  keepBudget,
  trackHotKeys,
} from '../src/index.ts'
import { test } from './setup.ts'

describe('an option of a feature that cannot be meant is refused in one sentence that names it', () => {
  test.for([
    [{ size: 0 }, 'size of hot keys is 0: give a whole number from 1 to 100000'],
    [{ size: NaN }, 'size of hot keys is NaN: give a whole number from 1 to 100000'],
    [{ sampleEvery: 0 }, /^sampleEvery of hot keys is 0/],
    [{ everyMs: 0 }, /^everyMs of hot keys is 0/],
    [{ hottest: -1 }, /^hottest of hot keys is -1/],
    [{ related: { bill: 'user' } }, /^related.bill of hot keys is no function/],
  ] as const)('hot keys: %o', async ([options, sentence], { open }) => {
    const { cache } = await open()
    const { bill } = cache.define({
      bill: { load: async (id: string) => id, key: (id) => id, ttl: '1m' },
    })
    expect(() => trackHotKeys({ cache, ...(options as object) })).toThrow(sentence)
    expect(await bill.get('a')).toBe('a')
  })

  test.for([
    [{ rate: 0 }, 'rate of the audit is 0: give a number above 0'],
    [{ rate: NaN }, /^rate of the audit is NaN/],
    [{ settleMs: NaN }, /^settleMs of the audit is NaN/],
    [{ everyMs: 0 }, /^everyMs of the audit is 0/],
    [{ sampleEvery: 0 }, /^sampleEvery of the audit is 0/],
    [{ kinds: 'bill' }, /^kinds of the audit is no list/],
  ] as const)('audit: %o', async ([options, sentence], { open }) => {
    const { cache } = await open()
    expect(() => auditCache({ cache, ...(options as object) })).toThrow(sentence)
  })

  test('audit: a kind that is not there is told of', async ({ open }) => {
    const warnings: string[] = []
    const log = { info() {}, warn: (_: object, text: string) => warnings.push(text), error() {} }
    const { cache } = await open({ log })
    const audit = auditCache({ cache, kinds: ['bill', 'bil'] })
    cache.kind('bill', { ttl: '1m' })
    await audit.run()
    await audit.run()
    await audit.stop()
    expect(warnings).toEqual([
      'the audit is to look at bil, which this cache does not have: there are bill',
    ])
  })

  test.for([
    [{ bytes: '64MB' }, 'bytes of the budget is 64MB: give a number of bytes above 0'],
    [{ bytes: Infinity }, /^bytes of the budget is Infinity/],
    [{ bytes: 1e6, passMs: -1 }, /^passMs of the budget is -1/],
  ] as const)('budget: %o', async ([options, sentence], { open }) => {
    const { cache } = await open()
    expect(() => keepBudget({ cache, ...(options as { bytes: number }) })).toThrow(sentence)
  })

  test('budgets of a server: a number that is none', async ({ open }) => {
    const { cache } = await open()
    await expect(checkBudgets({ cache, budgets: { user: NaN } })).rejects.toThrow(
      'the budget of user is NaN: give a number of bytes above 0',
    )
  })

  test.for([
    [{ name: '' }, 'the name of a warming job is "": give lower-case words'],
    [{ name: 'Two words' }, /^the name of a warming job is "Two words"/],
    [{ priority: 'urgent' }, 'priority of the warming job job is urgent: give high, medium, low'],
    [{ find: undefined }, /^find of the warming job job is no function/],
  ] as const)('warming: %o', async ([options, sentence], { open }) => {
    const { cache } = await open()
    const job = { name: 'job', find: () => [], ...(options as object) }
    expect(() => createWarming({ cache, jobs: [job] })).toThrow(sentence)
  })

  test('locks: a time beyond all measure', async ({ open }) => {
    const { redis, keys } = await open()
    const locks = createLocks({ redis, keys })
    await expect(locks.acquire('a', { ttl: '99999999999d' })).rejects.toThrow(
      /^ttl of lock \S+ is "99999999999d": at most a hundred years are possible$/,
    )
    // Longer than a timer of Node can wait.
    const signal = await locks.withLock('b', { ttl: '90d' }, async (held) => {
      await new Promise((done) => setImmediate(done))
      return held.signal
    })
    expect(signal.aborted).toBe(false)
  })
})
