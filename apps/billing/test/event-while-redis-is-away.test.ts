import { createCache } from '@wattle/cache'
import { queryOf } from '@wattle/database'
import { eventStreamKey } from '@wattle/events'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually } from '@wattle/testkit'
import { expect, test } from 'vitest'
import { billsStore } from '../src/bills-store.ts'
import { billingCache } from '../src/cache.ts'
import { dayAt } from '../src/calendar.ts'
import { holdOf, outcomeOf, paying } from './paying.ts'
import { startPublisher } from './publisher.ts'
import { startBilling, startMs } from './world.ts'

const soon = (check: () => Promise<void>) => eventually(check, { withinMs: 20_000 })

test('C12 what an event changed while Redis was away is fresh in another process, though the one that handled it has died', async () => {
  const publisher = await startPublisher()
  const world = await startBilling({ stateUrl: publisher.state.url })
  const pay = paying(world)
  const { database, redisServer } = world
  const log = { info() {}, warn() {}, error() {} }
  const redis = connectRedis({ url: redisServer.url, name: 'other', log })
  const keys = keySpace({ environment: 'test', service: 'billing' })
  const cache = createCache({ redis, keys, log })
  const query = queryOf(database.kysely)
  const plan = billingCache({ cache, store: billsStore(database), query, log })

  const person = world.person()
  const billId = await pay.newBill(person, 1_000, { dueDate: '2026-12-01' })
  const hold = holdOf(person, billId)
  expect((await world.reserve(hold)).statusCode).toBe(200)
  const read = () => plan.bill.read(person.userId, billId, dayAt(startMs))
  await soon(async () => {
    expect(await read()).toMatchObject({ tier: 'l1', value: { state: 'open' } })
  })

  // Its user is shut out, so that nothing it sent waits in a buffer.
  const admin = redisServer.client()
  await admin.acl('SETUSER', 'billing', 'off')
  await admin.client('KILL', 'USER', 'billing')
  const { succeeded } = outcomeOf(hold)
  await publisher.publish({ type: 'payment.succeeded', payload: succeeded })
  await soon(async () => expect(await pay.amountsOf(billId)).toMatchObject({ paid: 1_000 }))
  const stream = eventStreamKey({ environment: 'test', service: 'payment' })
  await soon(async () => {
    const [unacknowledged] = await publisher.state.client().xpending(stream, 'billing')
    expect(unacknowledged).toBe(0)
  })
  await world.app.close()
  world.deps.cache.close()
  await world.deps.redis.close()

  await soon(async () => expect((await read()).value).toMatchObject({ state: 'paid' }))

  await plan.close()
  cache.close()
  await redis.close()
  await world.stop()
  await publisher.stop()
}, 60_000)
