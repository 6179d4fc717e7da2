import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Redis } from 'ioredis'
import {
  eventually,
  startCluster,
  startProxy,
  type TestCluster,
  type TestServer,
} from '@wattle/testkit'
import { connectRedis, defineScript, isUnavailable, type RedisConnection } from '../src/index.ts'
import { callCounter } from './support/calls.ts'
import { recordingLog } from './support/log.ts'

const add = defineScript(new URL('./support/add.lua', import.meta.url))
let cluster: TestCluster
let redis: RedisConnection
const log = recordingLog()

beforeAll(async () => {
  cluster = await startCluster()
  redis = connectRedis({ url: cluster.url, name: 'shards', log })
  expect(await redis.whenReady(5000)).toBe(true)
})
afterAll(async () => {
  await redis.close()
  await cluster.stop()
})

describe('C24: a Redis Cluster', () => {
  test('serves keys of all slots over one connection', async () => {
    await Promise.all(Array.from({ length: 200 }, (_, i) => redis.client.set(`k${i}`, i)))
    expect(await redis.client.get('k42')).toBe('42')
    expect(await redis.ping()).toBeGreaterThan(0)
    expect(await redis.info('server')).toHaveLength(3)
  })

  test('tells how many slots are covered, and the keys of each node', async () => {
    const topology = await redis.topology()
    if (topology.mode !== 'cluster') throw new Error('it is a cluster')
    expect(topology.slotsCovered).toBe(16_384)
    expect(topology.nodes).toHaveLength(3)
    const keys = topology.nodes.map((node) => node.keys ?? 0)
    expect(Math.min(...keys)).toBeGreaterThan(30)
    expect(keys.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(200)
  })

  test('runs scripts on the node of their keys, each of which learns them by itself', async () => {
    const calls = Array.from({ length: 30 }, (_, i) => ({
      script: add,
      keys: [`{${i}}:counter`, `{${i}}:who`],
      args: [1, 'me'],
    }))
    const alone = await Promise.all(calls.map((call) => redis.run(call.script, call)))
    expect(alone).toEqual(calls.map(() => [1, 'me']))
    expect(await redis.runMany(calls)).toEqual(
      calls.map(() => ({ status: 'fulfilled', value: [2, 'me'] })),
    )
    const apart = { keys: ['{a}:counter', '{b}:who'], args: [1, 'me'] }
    await expect(redis.run(add, apart)).rejects.toThrow('CROSSSLOT')
  })

  test('passes messages on, whichever node they are published at', async () => {
    const subscriber = redis.subscriber()
    const heard = new Set<string>()
    await subscriber.subscribe('news', (message) => heard.add(message))
    await eventually(() => expect(subscriber.active).toBe(true))
    await Promise.all(Array.from({ length: 20 }, (_, i) => redis.client.publish('news', String(i))))
    await eventually(() => expect(heard.size).toBe(20))
  })

  test('a blocking command has a connection of its own', async () => {
    const blocking = redis.blocking({ maxBlockMs: 2000 })
    await eventually(() => expect(blocking.status).toBe('ready'))
    const popped = blocking.blpop('list', 1.5)
    await redis.client.rpush('list', 'a')
    expect(await popped).toEqual(['list', 'a'])
  })

  test('a write whose answer was lost is not sent again', async () => {
    const proxies = await Promise.all(cluster.nodes.map((node) => startProxy(node)))
    await using through = connectRedis({
      url: `redis+cluster://${proxies.map(({ host, port }) => `${host}:${port}`).join(',')}`,
      name: 'proxied',
      mapAddress(address) {
        const proxy = proxies[cluster.nodes.findIndex(({ port }) => port === address.port)]
        return proxy ? { host: proxy.host, port: proxy.port } : address
      },
    })
    expect(await through.whenReady(5000)).toBe(true)
    await redis.client.set('counter', '0')
    for (const proxy of proxies) proxy.blackhole('replies')
    const calls = callCounter()
    for (let i = 0; i < 200; i += 1) calls.track(through.client.incr('counter'))
    await eventually(async () => expect(await redis.client.get('counter')).toBe('200'))
    for (const proxy of proxies) {
      proxy.cut()
      await proxy.heal()
    }
    await eventually(() => expect(calls.failed()).toBe(200))
    await eventually(() => through.client.set('counter-was', '1'))
    await eventually(() => through.client.get('counter'))
    expect(await through.client.get('counter')).toBe('200')
    await Promise.all(proxies.map((proxy) => proxy.stop()))
  })

  test.each(['killed', 'frozen'] as const)(
    'one node %s: calls to it settle, those to the others go on, and it is used again on return',
    { timeout: 40_000 },
    async (how) => {
      const subscriber = redis.subscriber()
      const calls = callCounter()
      let n = 0
      const load = setInterval(() => {
        for (let i = 0; i < 5; i += 1) calls.track(redis.client.incr(`n${(n += 1) % 500}`))
      }, 5)
      const [, victim] = cluster.nodes
      if (!victim) throw new Error('there are three nodes')
      try {
        if (how === 'killed') await victim.kill()
        else victim.freeze()
        await eventually(() => expect(calls.failed()).toBeGreaterThan(50), { withinMs: 10_000 })
        const before = calls.succeeded()
        await eventually(() => expect(calls.succeeded()).toBeGreaterThan(before + 100))
        await eventually(() => expect(subscriber.active).toBe(true))
        await eventually(
          async () => {
            const topology = await redis.topology()
            expect(topology.mode === 'cluster' && topology.slotsCovered).toBeLessThan(16_384)
          },
          { withinMs: 10_000 },
        )
      } finally {
        if (how === 'killed') await victim.restart()
        else victim.thaw()
      }
      await eventually(
        async () => {
          const all = Array.from({ length: 100 }, (_, i) => redis.client.incr(`m${i}`))
          await Promise.all(all)
        },
        { withinMs: 15_000, everyMs: 200 },
      )
      clearInterval(load)
      await eventually(() => expect(calls.pending()).toBe(0), { withinMs: 1500 })
      expect(calls.slowestMs()).toBeLessThan(2000)
    },
  )

  test('a call that is sent back and forth settles in its time all the same', async () => {
    const { owner, slot } = await placeOf('nowhere')
    await owner.call('CLUSTER', 'DELSLOTS', slot)
    const startedMs = performance.now()
    await expect(redis.client.get('nowhere')).rejects.toSatisfy(isUnavailable)
    await expect(redis.callBuffer('get', ['nowhere'])).rejects.toSatisfy(isUnavailable)
    expect(performance.now() - startedMs).toBeLessThan(2000)
    await owner.call('CLUSTER', 'ADDSLOTS', slot)
    await eventually(() => redis.client.set('nowhere', '1'), { withinMs: 5000 })
  })

  test('a call that is sent on to a node that hangs settles, and ends nothing else', async () => {
    const { owner, other, slot } = await placeOf('moving')
    await owner.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await other.id())
    // That the answer of the redirection goes unhandled would fail the whole run.
    other.node.freeze()
    try {
      await expect(redis.client.get('moving')).rejects.toSatisfy(isUnavailable)
    } finally {
      other.node.thaw()
      await owner.call('CLUSTER', 'SETSLOT', slot, 'STABLE')
    }
    await eventually(() => redis.client.set('moving', '1'), { withinMs: 5000 })
  })

  /** The node that serves a key, and another one. */
  async function placeOf(key: string) {
    const slot = await redis.client.cluster('KEYSLOT', key)
    const share = Math.floor((slot * cluster.nodes.length) / 16_384)
    const [node, next] = [cluster.nodes[share], cluster.nodes[(share + 1) % cluster.nodes.length]]
    if (!node || !next) throw new Error('three nodes share the slots')
    const call = async (to: TestServer, ...words: (string | number)[]) => {
      const client = new Redis(to.port)
      try {
        return await client.call(...(words as [string]))
      } finally {
        client.disconnect()
      }
    }
    return {
      slot,
      owner: { call: (...words: (string | number)[]) => call(node, ...words) },
      other: { node: next, id: async () => String(await call(next, 'CLUSTER', 'MYID')) },
    }
  }

  test('all nodes away, it says so once, and returns with them', { timeout: 40_000 }, async () => {
    log.lines.length = 0
    await Promise.all(cluster.nodes.map((node) => node.kill()))
    await eventually(() => expect(redis.state).toBe('down'), { withinMs: 10_000 })
    const calls = callCounter()
    for (let i = 0; i < 50; i += 1) calls.track(redis.client.incr(`k${i}`))
    calls.track(redis.client.pipeline().incr('k').exec())
    calls.track(redis.run(add, { keys: ['{a}1', '{a}2'], args: [1, 'me'] }))
    await expect(redis.ping()).rejects.toSatisfy(isUnavailable)
    await expect(redis.info()).rejects.toSatisfy(isUnavailable)
    expect(await redis.topology()).toEqual({ mode: 'cluster', slotsCovered: 0, nodes: [] })
    await eventually(() => expect(calls.pending()).toBe(0), { withinMs: 3000 })
    await Promise.all(cluster.nodes.map((node) => node.restart()))
    expect(await redis.whenReady(10_000)).toBe(true)
    await eventually(() => redis.client.set('a', '1'), { withinMs: 5000 })
    expect(log.lines).toEqual([
      expect.stringMatching(/^warn Redis shards is away/),
      'info Redis shards is ready',
    ])
  })

  test('never reached, it is left at once by every call, and closes without hanging', async () => {
    const other = connectRedis({ url: 'redis+cluster://127.0.0.1:1,127.0.0.1:2', name: 'none' })
    await eventually(() => expect(other.state).toBe('down'))
    for (const call of [
      () => other.client.incr('a'),
      () => other.client.pipeline().incr('a').exec(),
      () => other.client.multi().incr('a').exec(),
      () => other.runMany([{ script: add, keys: ['{a}1', '{a}2'] }]).then((all) => all[0]),
    ]) {
      const outcome: unknown = await call().catch((error: unknown) => error)
      const error = outcome instanceof Error ? outcome : Reflect.get(Object(outcome), 'reason')
      expect(error).toSatisfy(isUnavailable)
    }
    const calls = callCounter()
    calls.track(other.close())
    await eventually(() => expect(calls.pending()).toBe(0), { withinMs: 1000 })
    await expect(other.client.get('a')).rejects.toSatisfy(isUnavailable)
  })
})
