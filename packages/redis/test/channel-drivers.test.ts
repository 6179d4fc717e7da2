import { eventually, startCluster, startRedis, startSentinelGroup } from '@wattle/testkit'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Shard } from '../src/index.ts'
import { openChannel, type OpenChannel } from './support/channels.ts'

/** `cut` breaks the connections of all subscribers. */
type Driver = { url: string; cut(): Promise<unknown>; stop(): Promise<void> }
const cut = (client: Redis) => client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')

const drivers: Record<string, () => Promise<Driver>> = {
  async 'a single Redis'() {
    const server = await startRedis()
    return Object.assign(server, { cut: () => cut(server.client()) })
  },
  async 'a Sentinel group'() {
    const group = await startSentinelGroup()
    return {
      url: group.urlFor('billing'),
      cut: async () => cut(group.client(await group.master())),
      stop: () => group.stop(),
    }
  },
  async 'a Cluster of three masters'() {
    const cluster = await startCluster()
    const client = cluster.client()
    return Object.assign(cluster, { cut: () => Promise.all(client.nodes('master').map(cut)) })
  },
}

describe.each(Object.keys(drivers))('C24 the channel on %s', (name) => {
  let driver: Driver
  let one: OpenChannel
  let two: OpenChannel
  beforeAll(async () => {
    const start = drivers[name]
    if (!start) throw new Error('there is no such driver')
    driver = await start()
    one = openChannel({ url: driver.url })
    two = openChannel({ url: driver.url })
    await Promise.all([one.trusted(), two.trusted()])
  })
  afterAll(async () => {
    await Promise.all([one.close(), two.close()])
    await driver.stop()
  })

  const saidIn = (shard: Shard, word: string) =>
    eventually(async () => {
      const issued = await one.sayIn(shard, word)
      if (issued.outcome !== 'applied') throw new Error(`${word} was deferred`)
    })

  test('what is announced in any shard is heard by every process', async () => {
    const words = one.channel.shards.map(({ index }) => `in ${index}`)
    for (const [at, shard] of one.channel.shards.entries()) await saidIn(shard, words[at] ?? '')
    await eventually(() => {
      for (const { heard } of [one, two]) expect(heard).toEqual(expect.arrayContaining(words))
    })
    expect([one.channel.trusted, two.channel.trusted]).toEqual([true, true])
  })

  test('what is lost on the way is heard with the next heartbeat', async () => {
    const { client } = one.redis
    const { channel } = one
    for (const shard of channel.shards) {
      const key = channel.sequenceKeyOf(shard)
      const number = await client.incr(key)
      await client.lpush(key.replace(/sequence/, 'log'), `${number} unheard ${shard.index}`)
    }
    const words = channel.shards.map(({ index }) => `unheard ${index}`)
    await eventually(() => expect(two.heard).toEqual(expect.arrayContaining(words)))
    await two.trusted()
  })

  test('subscribers that are cut off hear everything all the same', async () => {
    const losses = two.losses()
    const words: string[] = []
    for (let round = 0; round < 5; round++) {
      await driver.cut()
      for (const shard of one.channel.shards) {
        words.push(`cut ${round} ${shard.index}`)
        await saidIn(shard, words.at(-1) ?? '')
      }
    }
    await eventually(() => expect(two.heard).toEqual(expect.arrayContaining(words)))
    await two.trusted()
    expect(two.losses()).toBe(losses)
  })
})
