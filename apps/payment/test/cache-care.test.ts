import { careFor, type CacheCare } from '@wattle/service'
import { eventually } from '@wattle/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { paymentWarming } from '../src/warming.ts'
import { startPayment, type PaymentWorld, type Person } from './world.ts'

let world: PaymentWorld
const running: { stop(): Promise<void> }[] = []
beforeEach(async () => {
  world = await startPayment()
})
afterEach(async () => {
  for (const copy of running.splice(0)) await copy.stop()
  await world.stop()
})

/** Another process of the service, looked after as in main.ts. */
async function startCopy(options: { redisIsAway?: boolean } = {}) {
  const closers: (() => unknown)[] = []
  let care: CacheCare | undefined
  const copy = await startPayment({
    ...options,
    outside: world.outside,
    add({ app, cache, plan, database }) {
      care = careFor(app, {
        cache,
        onClose: (_name, close) => void closers.push(close),
        ...paymentWarming({ plan, database, now: Date.now }),
        // Every read is looked at, and none of it by itself.
        audit: { sampleEvery: 1, rate: 1_000, settleMs: 20, everyMs: 600_000 },
      })
    },
  })
  if (care === undefined) throw new Error('nobody looks after the cache')
  running.push({
    async stop() {
      await Promise.all(closers.map((close) => close()))
      await copy.stop()
    },
  })
  const { warming } = care
  return {
    ...copy,
    care,
    /** The answer to this person, and where it came from. */
    async get(path: string, { userId }: Person) {
      const { status, headers, body } = await copy.person(userId).get(path)
      return { status, from: headers['x-cache-status'], body }
    },
    runs: async () => (await warming.status()).find(({ name }) => name === 'paid-lately')?.past,
  }
}

const lists = ['/payments', '/payments/recent']

describe('W2 at the start of the payment service', () => {
  test('whoever paid in the last 30 days finds their lists in an empty cache, loaded by one process of three', async () => {
    const [payer, longAgo, refused] = [world.person(), world.person(), world.person()]
    const { id } = await payer.create()
    const old = await longAgo.create()
    // What the database refuses to change about a payment, to make it old.
    await world.postgres.query(
      `alter table payments disable trigger user;
       update payments set created_at = now() - interval '31 days' where id = '${old.id}';
       alter table payments enable trigger user`,
    )
    const { id: unknownBill } = world.billing.addBill(payer.userId)
    await expect(refused.create({ billId: unknownBill })).rejects.toThrow('NOT_FOUND')

    const copies = await Promise.all([startCopy(), startCopy(), startCopy()])
    for (const { runs } of copies)
      await eventually(async () => {
        expect(await runs()).toMatchObject([{ state: 'done', found: 2, warmed: 2, failed: 0 }])
      })
    const [first] = copies
    for (const path of lists) {
      expect(await first.get(path, payer)).toMatchObject({ from: 'HIT', body: { items: [{ id }] } })
      expect(await first.get(path, longAgo)).toMatchObject({ from: 'MISS' })
    }
  })
})

describe('C23 while something is away', () => {
  test('a start without Redis serves from the database, and warms once it is there', async () => {
    const payer = world.person()
    const { id } = await payer.create()
    await world.redisServer.kill()
    const copy = await startCopy({ redisIsAway: true })
    expect(await copy.get('/payments', payer)).toMatchObject({ status: 200, from: 'BYPASS' })
    await world.redisServer.restart()
    await eventually(async () => expect(await copy.runs()).toMatchObject([{ state: 'done' }]), {
      withinMs: 15_000,
    })
    expect(await copy.get('/payments/recent', payer)).toMatchObject({
      from: 'HIT',
      body: { items: [{ id }] },
    })
  }, 40_000)

  test('without PostgreSQL warming fails, what is cached is served, and later it goes on', async () => {
    const payer = world.person()
    await payer.create()
    const copy = await startCopy()
    await eventually(async () => expect(await copy.runs()).toHaveLength(1))
    expect(await copy.get('/payments', payer)).toMatchObject({ from: 'HIT' })
    await world.postgres.refuse()
    try {
      expect(await copy.care.warming.run('paid-lately')).toMatchObject({ state: 'failed' })
      expect(await copy.get('/payments', payer)).toMatchObject({ status: 200, from: 'HIT' })
    } finally {
      await world.postgres.allow()
    }
    await eventually(async () => {
      expect(await copy.care.warming.run('paid-lately')).toMatchObject({ state: 'done', failed: 0 })
    })
  }, 40_000)
})

describe('C22 the audit of the payment service', () => {
  test('finds and repairs what was changed behind the back of the cache', async () => {
    const payer = world.person()
    const { id } = await payer.create()
    const copy = await startCopy()
    await eventually(async () => expect(await copy.runs()).toHaveLength(1))
    for (const path of lists) expect(await copy.get(path, payer)).toMatchObject({ from: 'HIT' })
    const updatedAt = '2020-01-01T00:00:00.000Z'
    await world.postgres.query(`update payments set updated_at = $2 where id = $1`, [id, updatedAt])
    expect((await copy.get('/payments', payer)).body).not.toMatchObject({ items: [{ updatedAt }] })
    await copy.get('/payments/recent', payer)

    const report = await copy.care.audit.run()
    expect(report?.findings.map(({ kind }) => kind).toSorted()).toEqual(['history', 'recent'])
    for (const path of lists)
      expect((await copy.get(path, payer)).body).toMatchObject({
        items: [{ updatedAt }],
      })
    expect(await copy.registry.metrics()).toMatch(
      /wattle_cache_audited_total\{[^}]*result="inconsistent"[^}]*\} 2/,
    )
  })
})
