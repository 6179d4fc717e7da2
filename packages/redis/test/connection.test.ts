import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eventually, startProxy, startRedis, type TestRedis } from '@wattle/testkit'
import { connectRedis, defineScript, isUnavailable, type RedisConnection } from '../src/index.ts'
import { callCounter } from './support/calls.ts'
import { recordingLog } from './support/log.ts'

const echo = defineScript(new URL('./support/echo.lua', import.meta.url))
let server: TestRedis
let connections: RedisConnection[] = []

beforeAll(async () => {
  server = await startRedis()
})
afterEach(async () => {
  await Promise.all(connections.map((connection) => connection.close()))
  connections = []
})
afterAll(() => server.stop())

function connect(options: Partial<Parameters<typeof connectRedis>[0]> = {}) {
  const log = recordingLog()
  const redis = connectRedis({ url: server.url, name: 'cache', log, ...options })
  connections.push(redis)
  return { redis, log }
}

async function connected(options?: Parameters<typeof connect>[0]) {
  const both = connect(options)
  expect(await both.redis.whenReady(3000)).toBe(true)
  return both
}

describe('a connection to a single Redis', () => {
  test('is returned at once and becomes ready in the background', async () => {
    const states: string[] = []
    const { redis, log } = connect({ onStateChange: (state) => states.push(state) })
    expect(redis.state).toBe('connecting')
    await expect(redis.client.get('a')).rejects.toSatisfy(isUnavailable)
    expect(await redis.whenReady(3000)).toBe(true)
    expect(states).toEqual(['ready'])
    expect(log.lines).toEqual(['info Redis cache is ready'])
    expect(await redis.client.set('a', '1')).toBe('OK')
  })

  test('tells its round trip, its INFO and its topology', async () => {
    const { redis } = await connected()
    expect(await redis.ping()).toBeGreaterThan(0)
    expect(await redis.info('memory')).toMatchObject([{ memory: { maxPolicy: 'volatile-lfu' } }])
    expect(await redis.topology()).toMatchObject({
      mode: 'single',
      master: { host: '127.0.0.1', port: server.port },
      replicas: [],
      sentinels: [],
    })
  })

  test('sends words, numbers and bytes as they are, and answers in bytes', async () => {
    const { redis } = await connected()
    const bytes = Buffer.from([0, 13, 10, 255])
    const words = ['', 'ünïcödé €', bytes, 12.5, Buffer.alloc(0), '\r\n']
    await redis.callBuffer('rpush', ['words', ...words])
    const answer = (await redis.callBuffer('lrange', ['words', 0, -1])) as Buffer[]
    expect(answer).toEqual(
      words.map((word) => (Buffer.isBuffer(word) ? word : Buffer.from(`${word}`))),
    )
    expect(await redis.callBuffer('llen', ['words'])).toBe(words.length)
    expect(await redis.callBuffer('get', ['nothing'])).toBeNull()
    await expect(redis.callBuffer('get', ['words'])).rejects.toThrow(/^WRONGTYPE/)
    await expect(redis.callBuffer('nonsense', [])).rejects.toThrow(/^ERR unknown command/)
    await redis.close()
    await expect(redis.callBuffer('get', ['words'])).rejects.toSatisfy(isUnavailable)
  })

  test('a wrong configuration is refused at once, in one sentence', () => {
    expect(() => connectRedis({ name: 'cache' })).toThrow('neither a URL nor a configuration')
    expect(() => connectRedis({ name: 'cache', url: 'rediss://a?ca=/not/there.pem' })).toThrow(
      'The CA certificate for Redis cannot be read from /not/there.pem.',
    )
  })
})

describe('C23, R2: Redis goes away', () => {
  test('absent at the start, it is used as soon as it is there', async () => {
    await server.kill()
    const { redis, log } = connect()
    await eventually(() => expect(redis.state).toBe('down'))
    const calls = callCounter()
    for (let i = 0; i < 100; i += 1) calls.track(redis.client.incr('n'))
    await eventually(() => expect(calls.pending()).toBe(0), { withinMs: 300 })
    expect(await redis.whenReady(50)).toBe(false)
    await server.restart()
    expect(await redis.whenReady(3000)).toBe(true)
    expect(await redis.client.set('a', '1')).toBe('OK')
    expect(log.lines).toEqual([
      expect.stringMatching(/^warn Redis cache is away: connect ECONNREFUSED/),
      'info Redis cache is ready',
    ])
  })

  test('killed under load, every call settles and the connection comes back', async () => {
    const { redis } = await connected()
    const calls = callCounter()
    const load = setInterval(() => calls.track(redis.client.incr('n')), 1)
    await eventually(() => expect(calls.succeeded()).toBeGreaterThan(50))
    await server.kill()
    await eventually(() => expect(redis.state).toBe('down'))
    await server.restart()
    const before = calls.succeeded()
    await eventually(() => expect(calls.succeeded()).toBeGreaterThan(before))
    clearInterval(load)
    await eventually(() => expect(calls.pending()).toBe(0), { withinMs: 1000 })
    expect(calls.slowestMs()).toBeLessThan(1500)
  })

  test('frozen, every kind of call settles, the stream is cut, and it recovers when thawed', async () => {
    const { redis } = await connected()
    const subscriber = redis.subscriber()
    await subscriber.subscribe('news', () => {})
    const blocking = redis.blocking({ maxBlockMs: 500 })
    await eventually(() => expect(blocking.status).toBe('ready'))
    server.freeze()
    try {
      const calls = callCounter()
      calls.track(redis.client.incr('n'))
      calls.track(redis.client.pipeline().incr('n').get('n').exec())
      calls.track(redis.client.multi().incr('n').get('n').exec())
      calls.track(redis.runMany([{ script: echo, keys: ['n'] }]))
      calls.track(redis.run(echo, { keys: ['n'] }))
      calls.track(redis.info())
      calls.track(redis.ping())
      calls.track(redis.topology())
      calls.track(subscriber.subscribe('other', () => {}))
      calls.track(subscriber.ping())
      calls.track(blocking.blpop('list', 0.4))
      await eventually(() => expect(calls.pending()).toBe(0), { withinMs: 3000 })
      await eventually(() => expect(redis.state).toBe('down'))
      await eventually(() => expect(subscriber.active).toBe(false))
      await eventually(() => expect(blocking.status).not.toBe('ready'))
    } finally {
      server.thaw()
    }
    await eventually(() => expect(redis.state).toBe('ready'))
    await eventually(() => expect(subscriber.active).toBe(true))
    await eventually(() => expect(blocking.status).toBe('ready'))
  })

  test('calls that were given up do not shift the answers of later ones', async () => {
    const { redis, log } = await connected()
    await redis.client.mset('a', '1', 'b', '2', 'c', '3')
    server.freeze()
    try {
      const given = [redis.client.get('a'), redis.client.get('a'), redis.client.get('b')]
      await wait(250)
      const younger = redis.client.get('b').catch((cause: unknown) => cause)
      for (const { status } of await Promise.allSettled(given)) expect(status).toBe('rejected')
      server.thaw()
      // Not yet so old as to be given up with the others.
      expect(await younger).toBe('2')
    } finally {
      server.thaw()
    }
    expect(await redis.client.get('c')).toBe('3')
    expect(log.lines).toEqual(['info Redis cache is ready'])
  })

  test('time in which this process stood still is not held against Redis', async () => {
    const { redis } = await connected()
    await redis.client.set('a', '1')
    const answer = redis.client.get('a')
    const until = performance.now() + 1500
    while (performance.now() < until);
    expect(await answer).toBe('1')
  })

  test('idle and frozen, it is noticed all the same', async () => {
    const { redis } = await connected()
    const subscriber = redis.subscriber()
    await eventually(() => expect(subscriber.active).toBe(true))
    server.freeze()
    try {
      await eventually(() => expect(redis.state).toBe('down'), { withinMs: 4000 })
      await eventually(() => expect(subscriber.active).toBe(false), { withinMs: 4000 })
    } finally {
      server.thaw()
    }
    expect(await redis.whenReady(5000)).toBe(true)
  })

  test('a write whose answer was lost is not sent again', async () => {
    await using proxy = await startProxy(server)
    const { redis } = await connected({ url: `redis://${proxy.host}:${proxy.port}` })
    const admin = server.client()
    await admin.set('counter', '0')
    proxy.blackhole('replies')
    const calls = callCounter()
    for (let i = 0; i < 200; i += 1) calls.track(redis.client.incr('counter'))
    await eventually(async () => expect(await admin.get('counter')).toBe('200'))
    proxy.cut()
    await proxy.heal()
    await eventually(() => expect(calls.failed()).toBe(200))
    await eventually(() => redis.client.set('after', '1'))
    expect(await redis.client.get('counter')).toBe('200')
  })

  test('each change of state is told once, however many attempts fail', async () => {
    const states: string[] = []
    const { redis, log } = await connected({ onStateChange: (state) => states.push(state) })
    await server.kill()
    let attempts = 0
    redis.client.on('reconnecting', () => (attempts += 1))
    await eventually(() => expect(attempts).toBeGreaterThan(4))
    await server.restart()
    expect(await redis.whenReady(3000)).toBe(true)
    expect(states).toEqual(['ready', 'down', 'ready'])
    expect(log.lines).toHaveLength(3)
  })

  test('a listener that throws harms nobody', async () => {
    const { redis, log } = connect({
      onStateChange: () => {
        throw new Error('mine')
      },
    })
    expect(await redis.whenReady(3000)).toBe(true)
    expect(log.lines).toContain('error a listener to the state of Redis threw')
  })

  test('a client that was quit by mistake connects again', async () => {
    const { redis } = await connected()
    await redis.client.quit()
    await eventually(() => expect(redis.client.status).toBe('ready'))
    expect(redis.state).toBe('ready')
  })
})

describe('a role that changes', () => {
  test('a server that becomes a replica is left, and used again when it is master', async () => {
    const { redis, log } = await connected()
    const admin = server.client()
    await admin.replicaof('127.0.0.1', '1')
    await eventually(() => expect(redis.state).toBe('down'))
    await eventually(() => expect(redis.client.status).not.toBe('ready'))
    await expect(redis.client.get('a')).rejects.toSatisfy(isUnavailable)
    await admin.replicaof('NO', 'ONE')
    expect(await redis.whenReady(3000)).toBe(true)
    expect(log.lines.join()).toContain('became a replica')
  })
})

describe('closing', () => {
  test('lets calls under way finish, and later calls reject', async () => {
    const { redis, log } = await connected()
    const calls = Array.from({ length: 100 }, () => redis.client.incr('n'))
    await redis.close()
    const settled = await Promise.allSettled(calls)
    expect(settled.every(({ status }) => status === 'fulfilled')).toBe(true)
    await expect(redis.client.get('a')).rejects.toSatisfy(isUnavailable)
    expect(redis.state).toBe('down')
    expect(await redis.whenReady(10_000)).toBe(false)
    expect(() => redis.subscriber()).toThrow('The Redis connection cache is closed.')
    expect(() => redis.blocking()).toThrow('The Redis connection cache is closed.')
    // Nobody need be told of what was asked for.
    expect(log.lines).toEqual(['info Redis cache is ready'])
  })

  test('never hangs: not on a frozen server, not while reconnecting, not twice', async () => {
    const frozen = await connected()
    const calls = callCounter()
    server.freeze()
    try {
      calls.track(frozen.redis.client.incr('n'))
      calls.track(frozen.redis.close())
      await eventually(() => expect(calls.pending()).toBe(0), { withinMs: 2000 })
    } finally {
      server.thaw()
    }
    const away = await connected()
    await server.kill()
    await eventually(() => expect(away.redis.client.status).toBe('reconnecting'))
    calls.track(away.redis.close())
    calls.track(away.redis.close())
    await eventually(() => expect(calls.pending()).toBe(0), { withinMs: 1000 })
    await server.restart()
  })

  test('leaves nothing connected, and nothing that connects again', async () => {
    const { redis } = await connected({ name: 'leaver' })
    redis.subscriber()
    redis.blocking()
    const admin = server.client()
    const names = async () => String(await admin.client('LIST')).match(/name=leaver\S+/g) ?? []
    await eventually(async () => expect(await names()).toHaveLength(3))
    await redis.close()
    await eventually(async () => expect(await names()).toHaveLength(0))
  })
})
