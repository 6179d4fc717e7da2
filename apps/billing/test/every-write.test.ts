import { createCache, type Cache } from '@wattle/cache'
import { billingRoutes, couponRoutes, reservationRoutes, type Id } from '@wattle/contracts'
import { queryOf } from '@wattle/database'
import { connectRedis, keySpace, type RedisConnection } from '@wattle/redis'
import { countWriteRoutes, eventually } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { billsStore, type BillFilters } from '../src/bills-store.ts'
import { billingCache, type BillingCache } from '../src/cache.ts'
import { dayAt } from '../src/calendar.ts'
import { encodeCursor } from '../src/cursor.ts'
import { paymentEvents } from '../src/reservations/payment-events.ts'
import { account, bill, untilHit } from './fixtures.ts'
import { holdOf, outcomeOf, paying } from './paying.ts'
import { startPublisher, type Publisher } from './publisher.ts'
import { startBilling, startMs, type BillingWorld, type Person } from './world.ts'

const today = dayAt(startMs)
const due = '2026-12-01'
const page = (filters: BillFilters = {}, limit = 20) => ({ filters, limit })

/** Someone with an unpaid electricity bill and a later one of water. */
type Scene = { readonly person: Person; readonly billId: Id<'bil'>; readonly later: Id<'bil'> }

/** Every cached read: its kind, what it is asked with, and the address of the same thing in the other process. */
const reads: Record<string, (scene: Scene) => { kind: string; args: unknown[]; url: string }> = {
  'the bill': ({ person, billId }) => ({
    kind: 'bill',
    args: [person.userId, billId, today],
    url: `/bills/${billId}`,
  }),
  'the other bill': ({ person, later }) => ({
    kind: 'bill',
    args: [person.userId, later, today],
    url: `/bills/${later}`,
  }),
  'all bills': (scene) => listed(scene, {}),
  'open bills': (scene) => listed(scene, { state: 'open' }),
  'paid bills': (scene) => listed(scene, { state: 'paid' }),
  'bills of electricity': (scene) => listed(scene, { utility: 'electricity' }),
  'bills of water': (scene) => listed(scene, { utility: 'water' }),
  'bills due in a range': (scene) => listed(scene, { dueFrom: '2026-01-01', dueTo: due }),
  'a short page': (scene) => listed(scene, {}, 1),
  'the next page': ({ person, billId }) => {
    const after = { dueDate: due, id: billId }
    return {
      kind: 'bills',
      args: [person.userId, today, { ...page(), after }],
      url: `/bills?cursor=${encodeCursor(after, [person.userId, '{}'])}`,
    }
  },
  'all providers': () => ({ kind: 'providers', args: [], url: '/providers' }),
  'providers of water': () => ({
    kind: 'providers',
    args: ['water'],
    url: '/providers?utility=water',
  }),
}

function listed({ person }: Scene, filters: BillFilters, limit = 20) {
  const query = new URLSearchParams({ ...filters, limit: String(limit) })
  return {
    kind: 'bills',
    args: [person.userId, today, page(filters, limit)],
    url: `/bills?${query.toString()}`,
  }
}

const ofTheBill = [
  'the bill',
  'all bills',
  'open bills',
  'paid bills',
  'bills of electricity',
  'bills due in a range',
  'a short page',
]
type Write = () => Promise<unknown>

/**
 * Every write: it is prepared, then made. It changes what is named here, and nothing else that is cached: what a payment
 * holds of a bill, and what is left of a coupon, is not shown.
 */
const writes: Record<
  string,
  { changes: readonly string[]; prepare: (scene: Scene) => Promise<Write> }
> = {
  linkAccount: {
    changes: [
      'all bills',
      'paid bills',
      'bills of water',
      'bills due in a range',
      'a short page',
      'the next page',
    ],
    prepare: async ({ person }) => {
      const [provider] = await plan.providers.get('water')
      const customerNumber = String(20_000_000 + people)
      return async () => {
        const reply = await person.link({ providerId: provider?.id, customerNumber })
        expect(reply.statusCode).toBe(201)
      }
    },
  },
  previewCoupon: {
    changes: [],
    prepare: async ({ person, billId }) => {
      const code = await pay.addCoupon()
      return async () => expect((await person.preview({ code, billId })).statusCode).toBe(200)
    },
  },
  reserve: {
    changes: [],
    prepare: async ({ person, billId }) => {
      const hold = holdOf(person, billId, { couponCode: await pay.addCoupon() })
      return async () => expect((await world.reserve(hold)).statusCode).toBe(200)
    },
  },
  'payment.succeeded': {
    changes: ofTheBill,
    prepare: async (scene) => {
      const { outcome } = await held(scene)
      return () => publisher.publish({ type: 'payment.succeeded', payload: outcome.succeeded })
    },
  },
  'payment.refunded': {
    changes: ofTheBill,
    prepare: async (scene) => {
      const { outcome } = await held(scene)
      await publisher.publish({ type: 'payment.succeeded', payload: outcome.succeeded })
      await eventually(async () =>
        expect(await pay.amountsOf(scene.billId)).toMatchObject({ paid: 1_000 }),
      )
      return () => publisher.publish({ type: 'payment.refunded', payload: outcome.refunded() })
    },
  },
  'payment.failed': { changes: [], prepare: (scene) => releasedBy('payment.failed', scene) },
  'payment.canceled': { changes: [], prepare: (scene) => releasedBy('payment.canceled', scene) },
}

async function held({ person, billId }: Scene) {
  const hold = holdOf(person, billId)
  expect((await world.reserve(hold)).statusCode).toBe(200)
  return { hold, outcome: outcomeOf(hold) }
}

async function releasedBy(type: 'payment.failed' | 'payment.canceled', scene: Scene) {
  const { outcome } = await held(scene)
  return async () => {
    await publisher.publish({ type, payload: outcome.ended })
    await eventually(async () => {
      expect(await pay.amountsOf(scene.billId)).toMatchObject({ reserved: 0 })
    })
  }
}

let publisher: Publisher
let world: BillingWorld
let pay: ReturnType<typeof paying>
let redis: RedisConnection
let other: Cache
let plan: BillingCache
let people = 0
beforeAll(async () => {
  publisher = await startPublisher()
  world = await startBilling({ stateUrl: publisher.state.url })
  pay = paying(world)
  const log = { info() {}, warn() {}, error() {} }
  redis = connectRedis({ url: world.redisServer.urlFor('billing'), name: 'other', log })
  other = createCache({ redis, keys: keySpace({ environment: 'test', service: 'billing' }), log })
  const { database } = world
  const query = queryOf(database.kysely)
  plan = billingCache({ cache: other, store: billsStore(database), query, log })
  await eventually(() => expect(other.synchronized).toBe(true))
})
afterAll(async () => {
  await plan.close()
  other.close()
  await redis.close()
  await world.stop()
  await publisher.stop()
})

async function newScene(): Promise<Scene> {
  people += 1
  const person = world.person()
  const billId = await pay.newBill(person, 1_000, { dueDate: due })
  await account(world.database, person, [bill('2026-10-01')], { utility: 'water' })
  const bills = await billsStore(world.database).billsOf(person.userId, { today, ...page() })
  const later = bills.find(({ id }) => id !== billId)?.id
  if (later === undefined) throw new Error('there is no second bill')
  return { person, billId, later }
}

type AnyKind = { read(...args: unknown[]): Promise<{ value: unknown; tier: string }> }
const kinds = () =>
  Object.fromEntries(
    Object.entries(plan).filter(([, part]) => 'read' in part),
  ) as unknown as Record<string, AnyKind>

/** What the database says. */
const truthOf = (kind: string, args: unknown[]): Promise<unknown> => {
  const store = billsStore(world.database)
  const [userId, second, third] = args as [string, string, ReturnType<typeof page>]
  if (kind === 'bill') return store.bill(userId, second, today)
  if (kind === 'bills') return store.billsOf(userId, { today, ...third, limit: third.limit + 1 })
  return store.providers(args[0] as 'water' | undefined)
}

describe('C12 after every write of the billing service nothing old is read in another process', () => {
  test('the table names every write route of the app, and every event that it consumes', () => {
    const routes = [billingRoutes, reservationRoutes, couponRoutes].flatMap((part) =>
      Object.values(part),
    )
    const named = routes.filter(({ name }) => name in writes)
    for (const { method, path: url } of named)
      expect(world.app.hasRoute({ method, url })).toBe(true)
    expect(named).toHaveLength(countWriteRoutes(world.app))
    const events = Object.keys(writes).filter((name) => name.includes('.'))
    expect(events.toSorted()).toEqual(Object.keys(paymentEvents).toSorted())
    expect(Object.keys(writes)).toHaveLength(named.length + events.length)
  })

  test('the reads are of every kind that is cached', async () => {
    const scene = await newScene()
    const read = new Set(Object.values(reads).map((of) => of(scene).kind))
    expect([...read].toSorted()).toEqual(Object.keys(kinds()).toSorted())
    for (const [write, { changes }] of Object.entries(writes))
      for (const name of changes) expect(Object.keys(reads), write).toContain(name)
  })

  test.each(Object.keys(writes))('%s', async (name) => {
    const { changes, prepare } = writes[name] ?? { changes: [], prepare: () => Promise.reject() }
    const scene = await newScene()
    const write = await prepare(scene)
    const all = Object.entries(reads).map(([label, of]) => ({ label, ...of(scene) }))
    const old = new Map<string, unknown>()
    for (const { label, kind, args, url } of all) {
      await untilHit(() => scene.person.get(url))
      await eventually(async () => {
        const read = await kinds()[kind]?.read(...args)
        expect(read?.tier, label).toBe('l1')
        expect(read?.value, label).toEqual(await truthOf(kind, args))
        old.set(label, read?.value)
      })
    }

    await write()
    for (const { label, kind, args } of all) {
      await eventually(async () => {
        const truth = await truthOf(kind, args)
        if (changes.includes(label)) expect(truth, label).not.toEqual(old.get(label))
        else expect(truth, label).toEqual(old.get(label))
        expect((await kinds()[kind]?.read(...args))?.value, label).toEqual(truth)
      })
    }
  })
})
