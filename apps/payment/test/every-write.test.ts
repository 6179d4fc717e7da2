import { createCache, type Cache } from '@wattle/cache'
import { paymentRoutes } from '@wattle/contracts'
import { connectRedis, type RedisConnection } from '@wattle/redis'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { paymentCache, type PaymentCache } from '../src/cache.ts'
import { historyStore } from '../src/history/history-store.ts'
import { startPayment, type PaymentWorld, type Person } from './world.ts'

/** Makes the write, and returns the payment whose state it changes. */
const writes: Record<string, (person: Person) => Promise<string>> = {
  createPayment: async (person) => (await person.create()).id,
  confirmPayment: async (person) => {
    const { id } = await person.create()
    await person.confirm(id)
    return id
  },
  cancelPayment: async (person) => {
    const { id } = await person.create()
    await person.cancel(id)
    return id
  },
  refundPayment: async (person) => {
    const { id } = await person.create()
    await person.confirm(id)
    await person.refund(id, 100)
    return id
  },
  // The processor calls: the payment was unclear until then.
  takeCallback: async (person) => {
    const { id } = await person.create({ instrument: 'test_late_success' })
    await person.confirm(id)
    await eventually(async () => expect((await person.payment(id)).state).toBe('succeeded'), {
      withinMs: 10_000,
    })
    return id
  },
}

let world: PaymentWorld
let redis: RedisConnection
let other: Cache
let plan: PaymentCache
beforeAll(async () => {
  world = await startPayment()
  world.startCallbacks()
  const log = { info() {}, warn() {}, error() {} }
  redis = connectRedis({ url: world.redisServer.url, name: 'other', log })
  other = createCache({ redis, keys: world.keys, log })
  plan = paymentCache({ cache: other, store: historyStore(world.database) })
  await eventually(() => expect(other.synchronized).toBe(true))
})
afterAll(async () => {
  other.close()
  await redis.close()
  await world.stop()
})

describe('C12 after every write of the payment service nothing old is read in another process', () => {
  test('the table names every write', () => {
    const names = Object.values(paymentRoutes).filter(({ method }) => method !== 'GET')
    expect(Object.keys(writes).toSorted()).toEqual(names.map(({ name }) => name).toSorted())
  })

  test.each(Object.keys(writes))('%s', async (name) => {
    const person = world.person()
    const page = { filters: {}, limit: 20 }
    const lists = async () => [
      await plan.recent.get(person.userId),
      await plan.history.get(person.userId, page),
    ]
    expect(await lists()).toEqual([[], []])
    const paymentId = (await writes[name]?.(person)) ?? ''
    const truth = await person.payment(paymentId)
    await eventually(async () => {
      for (const list of await lists())
        expect(list).toMatchObject([{ id: paymentId, state: truth.state }])
    })
  })
})
