import { createCache, type Cache } from '@wattle/cache'
import { paymentRoutes, type Payment } from '@wattle/contracts'
import { queryOf } from '@wattle/database'
import { connectRedis, type RedisConnection } from '@wattle/redis'
import { countWriteRoutes, eventually } from '@wattle/testkit'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { paymentCache, type PaymentCache } from '../src/cache.ts'
import {
  historyStore,
  type HistoryFilters,
  type PageRequest,
} from '../src/history/history-store.ts'
import { startPayment, type PaymentWorld, type Person } from './world.ts'

/** Someone with a payment that is not confirmed yet, and a later one. */
type Scene = { readonly person: Person; readonly payment: Payment; readonly later: Payment }
type Write = () => Promise<unknown>

/** Every write, also of who is no request: it is prepared, and then changes the payment (or adds one). */
const writes: Record<string, (scene: Scene) => Promise<Write>> = {
  createPayment: async ({ person, payment: { billId } }) => {
    return () => person.create({ billId })
  },
  confirmPayment: async ({ person, payment }) => {
    return () => done(person.confirm(payment.id))
  },
  cancelPayment: async ({ person, payment }) => {
    return () => done(person.cancel(payment.id))
  },
  refundPayment: async ({ person, payment }) => {
    await done(person.confirm(payment.id))
    return () => done(person.refund(payment.id, 100))
  },
  'confirmPayment, declined': async ({ person }) => {
    const { id } = await person.create({ instrument: 'test_declined' })
    return () => done(person.confirm(id))
  },
  'confirmPayment, without an answer': async ({ person }) => {
    const { id } = await person.create({ instrument: 'test_timeout_succeeds' })
    return () => done(person.confirm(id))
  },
  // The processor calls: the payment is unclear until then.
  takeCallback: async ({ person }) => {
    const { id } = await person.create({ instrument: 'test_late_success' })
    await person.confirm(id)
    return async () => {
      world.startCallbacks()
      await untilSucceeded(person, id)
    }
  },
  'the janitor, of what was not confirmed in time': async ({ person, payment }) => {
    return async () => {
      await world.janitorNow(payment.id)
      expect((await person.payment(payment.id)).state).toBe('canceled')
    }
  },
  'the janitor, of a refund without an answer': async ({ person }) => {
    const { id } = await person.create({ instrument: 'test_refund_timeout' })
    await done(person.confirm(id))
    await done(person.refund(id, 100))
    return () =>
      eventually(
        async () => {
          await world.janitorNow(id)
          expect((await person.payment(id)).refundedMinor).toBe(100)
        },
        { withinMs: 10_000 },
      )
  },
  'the janitor': async ({ person }) => {
    const { id } = await person.create({ instrument: 'test_timeout_succeeds' })
    expect((await person.confirm(id)).body).toMatchObject({ state: 'unknown' })
    return async () => {
      await world.janitorNow(id)
      await untilSucceeded(person, id)
    }
  },
}
const asked = (filters: HistoryFilters): PageRequest => ({ filters, limit: 20 })

/** Every cached read: the kind, and what it is asked with. */
const reads: Record<string, (scene: Scene) => ['recent'] | ['history', PageRequest]> = {
  'the latest': () => ['recent'],
  'the history': () => ['history', asked({})],
  'what is not confirmed': () => ['history', asked({ state: 'requires_confirmation' })],
  'what succeeded': () => ['history', asked({ state: 'succeeded' })],
  'payments of the bill': ({ payment: { billId } }) => ['history', asked({ billId })],
  'since a day': () => ['history', asked({ from: '2020-01-01T00:00:00.000Z' })],
  'a short page': () => ['history', { filters: {}, limit: 1 }],
  'the next page': ({ later: { createdAt, id } }) => [
    'history',
    { ...asked({}), after: { createdAt, id } },
  ],
}

async function done(reply: ReturnType<Person['post']>): Promise<void> {
  expect((await reply).status).toBeLessThan(300)
}
const untilSucceeded = (person: Person, id: string) =>
  eventually(async () => expect((await person.payment(id)).state).toBe('succeeded'), {
    withinMs: 10_000,
  })

let world: PaymentWorld
let redis: RedisConnection
let other: Cache
let plan: PaymentCache
beforeAll(async () => {
  world = await startPayment()
  const log = { info() {}, warn() {}, error() {} }
  redis = connectRedis({ url: world.redisServer.url, name: 'other', log })
  other = createCache({ redis, keys: world.keys, log })
  const query = queryOf(world.database.kysely)
  plan = paymentCache({ cache: other, store: historyStore(world.database), query, log })
  await eventually(() => expect(other.synchronized).toBe(true))
})
afterAll(async () => {
  await plan.close()
  other.close()
  await redis.close()
  await world.stop()
})

describe('C12 after every write of the payment service nothing old is read in another process', () => {
  test('the table names every write route of the app', () => {
    const named = Object.values(paymentRoutes).filter(({ name }) => name in writes)
    for (const { method, path: url } of named)
      expect(world.app.hasRoute({ method, url })).toBe(true)
    const others = Object.keys(writes).filter(
      (name) => !((name.split(',')[0] ?? '') in paymentRoutes),
    )
    expect(others.every((name) => name.startsWith('the janitor'))).toBe(true)
    expect(named).toHaveLength(countWriteRoutes(world.app))
  })

  test('the reads are of every kind that is cached', async () => {
    const scene = await newScene()
    const cached = Object.entries(plan).filter(([, part]) => 'read' in part)
    const read = new Set(Object.values(reads).map((of) => of(scene)[0]))
    expect([...read].toSorted()).toEqual(cached.map(([name]) => name).toSorted())
  })

  test.each(Object.entries(writes))('%s', async (_name, prepare) => {
    const scene = await newScene()
    const { userId } = scene.person
    const write = await prepare(scene)
    const all = Object.entries(reads).map(([label, of]) => ({ label, read: of(scene) }))
    const old = new Map<string, unknown>()
    for (const { label, read } of all) {
      await eventually(async () => {
        const { tier, value } = await cachedRead(userId, read)
        expect(tier, label).toBe('l1')
        expect(value).toEqual(await truthOf(userId, read))
        old.set(label, value)
      })
    }

    await write()
    let changed = 0
    for (const { label, read } of all) {
      const truth = await truthOf(userId, read)
      if (JSON.stringify(truth) !== JSON.stringify(old.get(label))) changed++
      await eventually(async () =>
        expect((await cachedRead(userId, read)).value, label).toEqual(truth),
      )
    }
    expect(changed).toBeGreaterThan(2)
  })

  test('a write whose process dies after its commit is made up for by another process', async () => {
    const { person } = await newScene()
    const list = async () => (await person.get('/payments/recent')).headers['x-cache-status']
    await eventually(async () => expect(await list()).toBe('HIT'))
    // What such a process leaves: the row that was committed with the change, and nothing else.
    await world.database.kysely
      .insertInto('cache_invalidations')
      .columns(['refs', 'created_at'])
      .expression((query) =>
        query
          .selectFrom('cache_invalidations')
          .select(['refs', sql<Date>`now() - interval '5 seconds'`.as('created_at')])
          .where('refs', 'like', `%${person.userId}%`)
          .limit(1),
      )
      .execute()
    await eventually(async () => expect(await list()).toBe('MISS'), { withinMs: 10_000 })
  })

  // Who made the change may have died before it could invalidate; another process hears of it by the event.
  const events = ['payment.succeeded', 'payment.failed', 'payment.canceled', 'payment.refunded']
  test.each(events as (keyof typeof plan.onOwnEvents.afterCommit)[])(
    'the event %s removes the lists in every process',
    async (type) => {
      const { person } = await newScene()
      const { userId } = person
      const list = async (path: string) => (await person.get(path)).headers['x-cache-status']
      for (const path of ['/payments', '/payments/recent'])
        await eventually(async () => expect(await list(path)).toBe('HIT'))
      await plan.onOwnEvents.afterCommit[type]({ type, payload: { userId } })
      for (const path of ['/payments', '/payments/recent'])
        await eventually(async () => expect(await list(path)).toBe('MISS'))
    },
  )
})

async function newScene(): Promise<Scene> {
  const person = world.person()
  const payment = await person.create()
  return { person, payment, later: await person.create() }
}

const cachedRead = (userId: string, [kind, page]: ReturnType<(typeof reads)[string]>) =>
  kind === 'recent' ? plan.recent.read(userId) : plan.history.read(userId, page)

/** What the database says. */
const truthOf = (userId: string, [kind, page]: ReturnType<(typeof reads)[string]>) => {
  const store = historyStore(world.database)
  return kind === 'recent'
    ? store.paymentsOf(userId, { filters: {}, limit: 10 })
    : store.paymentsOf(userId, { ...page, limit: page.limit + 1 })
}
