import type { RedisConnection } from '@wattle/redis'
import { describe, expect } from 'vitest'
import { auditCache, createWarming, warm, type Cache } from '../src/index.ts'
import { gate, soon, test as base, type createSource } from './write-behind-setup.ts'

const row = (id: string, amount: number) => ({ id, amount })

type Opened = { cache: Cache; state: RedisConnection; source: ReturnType<typeof createSource> }

/** A plan whose kind is written behind, and whose source does not get the changes before the test is over. */
const test = base.extend<{ plan: Omit<ReturnType<typeof heldPlan>, 'end'> }>({
  plan: async ({ open, writer, source }, use) => {
    const [{ cache }, { state }] = [await open(), await writer()]
    const { end, ...plan } = heldPlan({ cache, state, source })
    await use(plan)
    await end()
  },
})

function heldPlan({ cache, state, source }: Opened) {
  const { amount } = cache.define({
    amount: {
      load: source.load,
      loadMany: (all: readonly [string][]) => Promise.all(all.map(([id]) => source.load(id))),
      key: (id: string) => [id],
      ttl: '1m',
    },
  })
  const held = gate()
  source.before = held.pass
  const writes = cache.writeBehind(amount, { redis: state, name: 'amounts', write: source.write })
  async function end(): Promise<void> {
    held.open()
    await writes.stop()
  }
  return { cache, amount, writes, end }
}

describe('C5 write-behind beside other features', { timeout: 60_000 }, () => {
  test('warming takes the change that waits, not the older value of the source', async ({
    plan,
  }) => {
    const { cache, amount, writes } = plan
    await writes.put('a', row('a', 7))
    await cache.invalidate([amount.all()])
    const find = () => [warm(amount, 'a'), warm(amount, 'b')]
    const warming = createWarming({ cache, jobs: [{ name: 'amounts', find }] })
    expect(await warming.run('amounts')).toMatchObject({ state: 'done', warmed: 2 })
    expect(await amount.read('a')).toMatchObject({ tier: 'l2', value: row('a', 7) })
    expect(await amount.get('b')).toEqual(row('b', 0))
    await warming.close()
  })

  test('for the audit a change that waits is what the source has', async ({ plan }) => {
    const { cache, amount, writes } = plan
    const audit = auditCache({ cache, sampleEvery: 1, rate: 10_000, wait: async () => {} })
    await writes.put('a', row('a', 7))
    await soon(async () => expect((await amount.read('a')).tier).toBe('l1'))
    expect(await audit.run()).toMatchObject({ checked: 1, inconsistent: 0, undecided: 0 })
    await audit.stop()
  })
})
