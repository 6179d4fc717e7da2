import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { openGroup } from '../src/group.ts'
import { connect, paymentStream, soon } from './support.ts'

describe('E2: acknowledgment', { timeout: 120_000 }, () => {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ group: 'state' })
  })
  afterAll(() => server.stop())

  async function member(consumer: string) {
    const redis = await connect(server.url, consumer)
    onTestFinished(() => redis.close())
    const group = openGroup({ redis, key: paymentStream, group: 'g', consumer, blockMs: 100 })
    const read = () =>
      soon(async () => {
        const [first] = await group.read(1)
        if (!first) throw new Error('nothing to read')
        return first
      })
    return { ...group, read }
  }

  test('an id that a new history uses for another event is not acknowledged for it', async () => {
    const client = server.client()
    const [one, two] = [await member('one'), await member('two')]
    await client.xadd(paymentStream, '5-1', 'id', 'evt_old')
    const old = await one.read()
    // The history is lost, and the new one has another event under the same id, which somebody else is at.
    await client.flushall()
    await client.xadd(paymentStream, '5-1', 'id', 'evt_new')
    const fresh = await two.read()
    expect(fresh.entryId).toBe(old.entryId)

    await one.acknowledge(old.entryId, old.fields['id'])
    expect((await client.xpending(paymentStream, 'g'))[0]).toBe(1)
    await two.acknowledge(fresh.entryId, fresh.fields['id'])
    expect((await client.xpending(paymentStream, 'g'))[0]).toBe(0)
  })

  test('a consumer that still holds something is not removed with what it holds', async () => {
    const client = server.client()
    await client.flushall()
    const [leaver, helper] = [await member('leaver'), await member('helper')]
    await client.xadd(paymentStream, '*', 'id', 'evt_1')
    const held = await leaver.read()
    await leaver.leave()
    await helper.sweep(-1)
    const [taken] = await helper.claim(0, 10, () => false)
    expect(taken).toMatchObject({ entryId: held.entryId, deliveries: 2 })
    await leaver.leave()
    const consumers = (await client.xinfo('CONSUMERS', paymentStream, 'g')) as unknown[]
    expect(consumers).toHaveLength(1)
  })
})
