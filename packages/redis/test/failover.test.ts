import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, startProxy, startSentinelGroup, type TestSentinelGroup } from '@wattle/testkit'
import { connectRedis, isUnavailable, type RedisConnection } from '../src/index.ts'
import { callCounter } from './support/calls.ts'
import { recordingLog } from './support/log.ts'

/** The Sentinels' detection takes about 3.5 s; from there the connection has 5 s. */
const recoversWithinMs = 10_000
const timeout = 40_000

const masterPort = async (redis: RedisConnection) => {
  const topology = await redis.topology()
  return topology.mode === 'cluster' ? undefined : topology.master?.port
}

/** About 2,000 writes a second that are not idempotent. */
function startLoad(redis: RedisConnection) {
  const calls = callCounter()
  const timer = setInterval(() => {
    for (let i = 0; i < 10; i += 1) calls.track(redis.client.incr('test:billing:n'))
  }, 5)
  return { calls, stop: () => clearInterval(timer) }
}

describe.concurrent('R2: the master goes away under load', () => {
  test.each(['killed', 'frozen'] as const)(
    '%s, writes go on with the new master, every call settles, and the old one is not talked to again',
    { timeout: 60_000 },
    async (how) => {
      await using group = await startSentinelGroup()
      const log = recordingLog()
      await using redis = connectRedis({ url: group.urlFor('billing'), name: 'cache', log })
      expect(await redis.whenReady(3000)).toBe(true)
      const heard: string[] = []
      const subscriber = redis.subscriber()
      await subscriber.subscribe('test:billing:news', (message) => heard.push(message))
      const blocking = redis.blocking({ maxBlockMs: 1000 })
      const old = await group.master()
      const ended: string[] = []
      redis.client.on('end', () => ended.push('commands'))
      blocking.on('end', () => ended.push('blocking'))

      const load = startLoad(redis)
      await eventually(() => expect(load.calls.succeeded()).toBeGreaterThan(500))
      if (how === 'killed') await group.kill(old)
      else group.freeze(old)
      const waiting = blocking.blpop('test:billing:list', 0.9).catch((error: Error) => error)
      await eventually(() => expect(redis.state).toBe('down'))
      const before = load.calls.succeeded()
      await eventually(() => expect(load.calls.succeeded()).toBeGreaterThan(before + 500), {
        withinMs: recoversWithinMs,
      })
      await waiting
      const now = await masterPort(redis)
      expect(now).not.toBe(old.port)

      await eventually(() => expect(subscriber.active).toBe(true))
      await eventually(() => expect(blocking.status).toBe('ready'))
      await redis.client.publish('test:billing:news', 'hello')
      await eventually(() => expect(heard).toContain('hello'))

      if (how === 'killed') await group.restart(old)
      else group.thaw(old)
      await eventually(
        async () => {
          const topology = await redis.topology()
          const replicas = topology.mode === 'cluster' ? [] : topology.replicas
          expect(replicas.filter(({ online }) => online).map(({ port }) => port)).toContain(
            old.port,
          )
        },
        { withinMs: 30_000, everyMs: 200 },
      )
      load.stop()
      await eventually(() => expect(load.calls.pending()).toBe(0), { withinMs: 1000 })
      expect(load.calls.slowestMs()).toBeLessThan(2000)
      expect(await masterPort(redis)).toBe(now)
      expect(ended).toEqual([])
      expect(log.lines.filter((line) => line.startsWith('warn Redis cache is away'))).toHaveLength(
        1,
      )
    },
  )
})

describe('R2: the Sentinels move the master', () => {
  let group: TestSentinelGroup
  beforeAll(async () => {
    group = await startSentinelGroup()
  })
  afterAll(() => group.stop())

  test('the topology names master, replicas with their lag, and Sentinels', async () => {
    await using redis = connectRedis({ url: group.urlFor('billing'), name: 'cache' })
    expect(await redis.whenReady(3000)).toBe(true)
    const master = await group.master()
    await eventually(async () => {
      const topology = await redis.topology()
      expect(topology).toMatchObject({
        mode: 'sentinel',
        master: { host: '127.0.0.1', port: master.port },
        replicas: [
          { online: true, lagBytes: expect.any(Number) },
          { online: true, lagBytes: expect.any(Number) },
        ],
        sentinels: group.sentinels.map(({ port }) => ({
          port,
          reachable: true,
          master: { port: master.port },
        })),
      })
    })
  })

  test(
    'at an operator’s word: all clients follow, and the demoted one is left',
    { timeout },
    async () => {
      const log = recordingLog()
      await using redis = connectRedis({ url: group.urlFor('billing'), name: 'cache', log })
      expect(await redis.whenReady(3000)).toBe(true)
      const subscriber = redis.subscriber()
      const heard: string[] = []
      await subscriber.subscribe('test:billing:news', (message) => heard.push(message))
      const load = startLoad(redis)
      const old = await group.master()
      const next = await group.failover()
      await eventually(async () => expect(await masterPort(redis)).toBe(next.port))
      const oldAdmin = group.client(old)
      await eventually(async () => {
        const names = String(await oldAdmin.client('LIST')).match(/name=cache:\S*/g)
        expect(names).toBeNull()
      })
      await eventually(() => expect(subscriber.active).toBe(true))
      await redis.client.publish('test:billing:news', 'hello')
      await eventually(() => expect(heard).toContain('hello'))
      load.stop()
      await eventually(() => expect(load.calls.pending()).toBe(0), { withinMs: 1000 })
      // Before the old master itself knew of it.
      expect(log.lines).toContain('warn Redis cache is away: the Sentinels name another master')
    },
  )
})

describe('R2: the replicas go away', () => {
  test('writes are refused, reads go on, and both work when one returns', { timeout }, async () => {
    await using group = await startSentinelGroup()
    await using redis = connectRedis({ url: group.urlFor('billing'), name: 'cache' })
    expect(await redis.whenReady(3000)).toBe(true)
    await redis.client.set('test:billing:a', '1')
    const states: string[] = []
    redis.onState((state) => states.push(state))
    const replicas = await group.replicas()
    for (const replica of replicas) await group.kill(replica)
    await eventually(
      () => expect(redis.client.set('test:billing:a', '2')).rejects.toThrow('NOREPLICAS'),
      { withinMs: 10_000 },
    )
    for (let i = 0; i < 50; i += 1) {
      const [write, read] = await Promise.allSettled([
        redis.client.set('test:billing:a', '3'),
        redis.client.get('test:billing:a'),
      ])
      expect(write).toMatchObject({ reason: { message: expect.stringMatching('NOREPLICAS') } })
      expect(read).toEqual({ status: 'fulfilled', value: expect.any(String) })
    }
    expect(states).toEqual([])
    for (const replica of replicas) await group.restart(replica)
    await eventually(() => redis.client.set('test:billing:a', '4'), { withinMs: 15_000 })
  })
})

describe('R2: Sentinels that are frozen, absent, wrong or unwilling', () => {
  let group: TestSentinelGroup
  beforeAll(async () => {
    group = await startSentinelGroup()
  })
  afterAll(() => group.stop())

  test('a frozen majority disturbs neither a connection nor a new one', { timeout }, async () => {
    await using redis = connectRedis({ url: group.urlFor('billing'), name: 'cache' })
    expect(await redis.whenReady(3000)).toBe(true)
    const states: string[] = []
    redis.onState((state) => states.push(state))
    const [, second, third] = group.sentinels
    if (!second || !third) throw new Error('there are three Sentinels')
    group.freeze(second)
    group.freeze(third)
    try {
      const reachable = async () => {
        const topology = await redis.topology()
        return topology.mode === 'cluster' ? [] : topology.sentinels.map((one) => one.reachable)
      }
      await eventually(async () => expect(await reachable()).toEqual([true, false, false]))
      expect(await redis.client.set('test:billing:a', '1')).toBe('OK')
      expect(states).toEqual([])
      await using newcomer = connectRedis({ url: group.urlFor('billing'), name: 'cache' })
      expect(await newcomer.whenReady(3000)).toBe(true)
    } finally {
      group.thaw(second)
      group.thaw(third)
    }
  })

  test(
    'without any, a broken connection returns to the master that was known',
    { timeout },
    async () => {
      await using redis = connectRedis({ url: group.urlFor('billing'), name: 'cache' })
      expect(await redis.whenReady(3000)).toBe(true)
      const master = await group.master()
      for (const sentinel of group.sentinels) group.freeze(sentinel)
      try {
        await group.client(master).call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
        await eventually(() => expect(redis.state).toBe('down'))
        expect(await redis.whenReady(5000)).toBe(true)
      } finally {
        for (const sentinel of group.sentinels) group.thaw(sentinel)
      }
    },
  )

  test('all absent at the start, the group is found when they come', { timeout }, async () => {
    for (const sentinel of group.sentinels) await group.kill(sentinel)
    const log = recordingLog()
    await using redis = connectRedis({ url: group.urlFor('billing'), name: 'cache', log })
    await eventually(() => expect(redis.state).toBe('down'))
    expect(log.lines[0]).toMatch(/^warn Redis cache is away: no Sentinel answers at .*ECONNREFUSED/)
    await expect(redis.client.get('test:billing:a')).rejects.toSatisfy(isUnavailable)
    for (const sentinel of group.sentinels) await group.restart(sentinel)
    expect(await redis.whenReady(5000)).toBe(true)
  })

  test('a Sentinel that names a replica is not believed', async () => {
    const [replica] = await group.replicas()
    if (!replica) throw new Error('there are two replicas')
    const log = recordingLog()
    await using redis = connectRedis({
      url: group.urlFor('billing'),
      name: 'cache',
      log,
      mapAddress: () => ({ host: replica.host, port: replica.port }),
    })
    await eventually(() => expect(redis.state).toBe('down'))
    expect(log.lines[0]).toMatch(/is a replica, and only a master will do/)
    await expect(redis.client.get('test:billing:a')).rejects.toSatisfy(isUnavailable)
  })

  test('a group they do not watch, or credentials they refuse, are named', async () => {
    const url = group.urlFor('billing')
    const log = recordingLog()
    await using unknown = connectRedis({ url: url.replace('/cache?', '/cash?'), name: 'cash', log })
    await using refused = connectRedis({
      url: url.replace(/sentinelPassword=[^&]*/, 'sentinelPassword=not-the-password'),
      name: 'refused',
      log,
    })
    await eventually(() => expect(unknown.state).toBe('down'))
    await eventually(() => expect(refused.state).toBe('down'))
    await eventually(() => {
      expect(log.lines.join()).toContain('the Sentinels watch no group named cash')
    })
    expect(log.lines.join()).toMatch(/no Sentinel answers .*WRONGPASS/)
    expect(log.lines.join()).not.toContain('not-the-password')
  })
})

describe('R2: the network goes silent', () => {
  test('a half-open connection is noticed though nothing closes it', { timeout }, async () => {
    await using group = await startSentinelGroup()
    const master = await group.master()
    await using proxy = await startProxy({ host: master.host, port: master.port })
    await using redis = connectRedis({
      url: group.urlFor('billing'),
      name: 'cache',
      mapAddress: (address) =>
        address.port === master.port ? { host: proxy.host, port: proxy.port } : address,
    })
    expect(await redis.whenReady(3000)).toBe(true)
    const subscriber = redis.subscriber()
    await eventually(() => expect(subscriber.active).toBe(true))
    proxy.blackhole()
    await eventually(() => expect(redis.state).toBe('down'), { withinMs: 4000 })
    await eventually(() => expect(subscriber.active).toBe(false), { withinMs: 4000 })
    await proxy.heal()
    expect(await redis.whenReady(5000)).toBe(true)
    await eventually(() => expect(subscriber.active).toBe(true))
  })
})
