import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { defineScript, type RedisConnection } from '@wattle/redis'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { connect, paymentStream as key, upTo } from './support.ts'

const trim = defineScript(new URL('../src/trim.lua', import.meta.url))
const hourMs = 3_600_000

describe('E1: trimming the stream', { timeout: 120_000 }, () => {
  let server: TestRedis
  let redis: RedisConnection
  let client: ReturnType<TestRedis['client']>
  beforeAll(async () => {
    server = await startRedis({ group: 'state' })
    redis = await connect(server.url, 'trim-test')
    client = server.client()
  })
  afterAll(async () => {
    await redis.close()
    await server.stop()
  })
  beforeEach(async () => {
    await client.flushall()
    for (const n of upTo(1_000)) await client.xadd(key, `${n}-0`, 'id', `evt_${n}`)
  })

  const run = () => redis.run(trim, { keys: [key], args: [hourMs] })
  const ids = async () => (await client.xrange(key, '-', '+')).map(([id]) => id)
  const readAll = async (group: string) => {
    await client.xgroup('CREATE', key, group, '0')
    await client.xreadgroup('GROUP', group, 'one', 'STREAMS', key, '>')
  }

  test('what every group has acknowledged goes when it is old, and what is young stays', async () => {
    const young = await client.xadd(key, '*', 'id', 'young')
    await readAll('fast')
    await client.xack(key, 'fast', ...(await ids()))
    await run()
    const kept = await ids()
    expect(kept.length).toBeLessThan(200)
    expect(kept.at(-1)).toBe(young)
  })

  test('from the first entry that some group has not acknowledged on, everything stays', async () => {
    await readAll('fast')
    await client.xack(key, 'fast', ...(await ids()))
    await readAll('slow')
    await client.xack(key, 'slow', ...(await ids()).filter((id) => id !== '500-0'))
    expect(await run()).toEqual([expect.any(Number), '500-0', 'slow'])
    expect(await ids()).toEqual(expect.arrayContaining(upTo(501).map((n) => `${n + 499}-0`)))
    expect((await ids()).length).toBeLessThan(700)
  })

  test('a group that has read nothing yet holds everything', async () => {
    await readAll('fast')
    await client.xack(key, 'fast', ...(await ids()))
    await client.xgroup('CREATE', key, 'new', '0')
    expect(await run()).toEqual([0, '1-0', 'new'])
    expect(await ids()).toHaveLength(1_000)
  })

  test('without groups age alone counts; without a stream there is nothing to do', async () => {
    await run()
    expect((await ids()).length).toBeLessThan(100)
    await client.del(key)
    expect(await run()).toEqual([0, '0-0', ''])
  })
})
