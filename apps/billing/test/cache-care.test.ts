import { createCache } from '@wattle/cache'
import { newId, type Id } from '@wattle/contracts'
import { connectRedis, keySpace } from '@wattle/redis'
import { careFor, createRegistry } from '@wattle/service'
import { eventually } from '@wattle/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildBilling } from '../src/app.ts'
import { dayAt } from '../src/calendar.ts'
import { billingWarming } from '../src/warming.ts'
import { account, bill } from './fixtures.ts'
import { paying } from './paying.ts'
import { startBilling, startMs, type BillingWorld } from './world.ts'

const dayMs = 86_400_000
const utilities = ['electricity', 'water', 'gas', 'internet']

let world: BillingWorld
const running: { stop(): Promise<void> }[] = []
beforeEach(async () => {
  world = await startBilling()
})
afterEach(async () => {
  for (const copy of running.splice(0)) await copy.stop()
  await world.stop()
})

/** Another process of the service, looked after as in main.ts. */
async function startCopy() {
  const { log, now } = world.deps
  const registry = createRegistry('billing')
  const redis = connectRedis({ url: world.redisServer.urlFor('billing'), name: 'copy', log })
  const keys = keySpace({ environment: 'test', service: 'billing' })
  const cache = createCache({ redis, keys, log, registry })
  const { app, cache: plan } = await buildBilling({ ...world.deps, registry, redis, cache })
  const closers: (() => unknown)[] = []
  const care = careFor(app, {
    cache,
    onClose: (_name, close) => void closers.push(close),
    ...billingWarming({ plan, now }),
    // Every read is looked at, and none of it by itself.
    audit: { sampleEvery: 1, rate: 1_000, settleMs: 20, everyMs: 600_000 },
  })
  const copy = {
    cache,
    care,
    plan,
    registry,
    /** The answer, and where it came from. */
    async get(url: string, userId: Id<'usr'> = newId('usr')) {
      const headers = { authorization: world.authorizationOf(userId) }
      const reply = await app.inject({ url, headers })
      return { status: reply.statusCode, from: reply.headers['x-cache-status'], body: reply.json() }
    },
    async runsOf(job: string) {
      return (await care.warming.status()).find(({ name }) => name === job)?.past ?? []
    },
    async stop() {
      await Promise.all(closers.map((close) => close()))
      await app.close()
      cache.close()
      await redis.close()
    },
  }
  running.push(copy)
  return copy
}

describe('W2 at the start of the billing service', () => {
  test('providers are found in an empty cache, loaded by one process of three', async () => {
    const copies = await Promise.all([startCopy(), startCopy(), startCopy()])
    for (const copy of copies)
      await eventually(async () => {
        expect(await copy.runsOf('providers')).toMatchObject([{ state: 'done', warmed: 5 }])
      })
    const [first] = copies
    expect(await first.get('/providers')).toMatchObject({ status: 200, from: 'HIT' })
    for (const utility of utilities)
      expect(await first.get(`/providers?utility=${utility}`)).toMatchObject({ from: 'HIT' })
  })
})

describe('W4 what was hot', () => {
  test('is loaded again after a restart on an empty cache, as it is on that day', async () => {
    const person = world.person()
    const billId = await paying(world).newBill(person, 1_000, { dueDate: '2026-12-01' })
    const before = await startCopy()
    await eventually(() => expect(before.cache.synchronized).toBe(true))
    expect(await before.get(`/bills/${billId}`, person.userId)).toMatchObject({ from: 'MISS' })
    await before.care.hotKeys.push()

    world.clock.advance(dayMs)
    const after = await startCopy()
    await eventually(async () => {
      expect(await after.care.warming.run('hottest')).toMatchObject({ state: 'done', failed: 0 })
      const key = `test:billing:bill@1:${person.userId}:${billId}:${dayAt(startMs + dayMs)}`
      expect(await world.redisServer.client().exists(key)).toBe(1)
    })
    expect(await after.get(`/bills/${billId}`, person.userId)).toMatchObject({ from: 'HIT' })
  })
})

describe('C23 while something is away', () => {
  test('a start without Redis serves from the database, and warms once it is there', async () => {
    await world.redisServer.kill()
    const copy = await startCopy()
    expect(await copy.get('/providers')).toMatchObject({ status: 200, from: 'BYPASS' })
    await world.redisServer.restart()
    await eventually(
      async () => expect(await copy.runsOf('providers')).toMatchObject([{ state: 'done' }]),
      { withinMs: 15_000 },
    )
    expect(await copy.get('/providers?utility=gas')).toMatchObject({ from: 'HIT' })
  }, 40_000)

  test('without PostgreSQL warming fails, what is cached is served, and later it goes on', async () => {
    const copy = await startCopy()
    await eventually(async () => expect(await copy.runsOf('providers')).toHaveLength(1))
    expect(await copy.get('/providers')).toMatchObject({ from: 'HIT' })
    await world.postgres.refuse()
    try {
      await world.redisServer.client().unlink('test:billing:providers@1:gas')
      expect(await copy.care.warming.run('providers')).toMatchObject({ present: 4, failed: 1 })
      expect(await copy.get('/providers')).toMatchObject({ status: 200, from: 'HIT' })
    } finally {
      await world.postgres.allow()
    }
    await eventually(async () => {
      expect(await copy.care.warming.run('providers')).toMatchObject({ present: 4, warmed: 1 })
    })
  }, 40_000)
})

describe('C22 the audit of the billing service', () => {
  test('finds and repairs what was changed behind the back of the cache', async () => {
    const person = world.person()
    const { userId } = person
    const billId = await paying(world).newBill(person, 1_000, { dueDate: '2026-12-01' })
    await account(world.database, person, [bill('2026-10-01')], { utility: 'water' })
    const copy = await startCopy()
    await eventually(async () => expect(await copy.runsOf('providers')).toHaveLength(1))
    const urls = [`/bills/${billId}`, '/bills', '/providers']
    for (const url of urls)
      await eventually(async () =>
        expect(await copy.get(url, userId)).toMatchObject({ from: 'HIT' }),
      )
    await world.postgres.query('update bills set paid_minor = 400 where id = $1', [billId])
    await world.postgres.query(`update providers set region = 'By Hand' where utility = 'water'`)
    expect((await copy.get(`/bills/${billId}`, userId)).body).toMatchObject({ paidMinor: 0 })

    const report = await copy.care.audit.run()
    const kinds = report?.findings.map(({ kind }) => kind)
    expect(kinds?.toSorted()).toEqual(['bill', 'bills', 'providers'])
    expect((await copy.get(`/bills/${billId}`, userId)).body).toMatchObject({ paidMinor: 400 })
    expect(await copy.registry.metrics()).toMatch(
      /wattle_cache_audited_total\{[^}]*result="inconsistent"[^}]*\} 3/,
    )
  })
})

describe('S3 what is cached of bills', () => {
  test('a bill lives for 10 minutes, a list for 30, providers for a day, at most', async () => {
    const person = world.person()
    const billId = await paying(world).newBill(person)
    const minutes = { bill: 10, bills: 30, providers: 24 * 60 }
    for (const url of [`/bills/${billId}`, '/bills', '/providers'])
      expect((await person.get(url)).statusCode).toBe(200)
    const client = world.redisServer.client()
    for (const [kind, most] of Object.entries(minutes))
      await eventually(async () => {
        const [key = ''] = await client.keys(`test:billing:${kind}@1:*`)
        const ttlMs = await client.pttl(key)
        expect(ttlMs).toBeLessThanOrEqual(most * 60_000)
        expect(ttlMs).toBeGreaterThan(0.8 * most * 60_000)
      })
  })
})
