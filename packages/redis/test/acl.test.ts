import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import { connectRedis, defineScript, keySpace, type RedisConnection } from '../src/index.ts'
import { recordingLog } from './support/log.ts'

const touch = defineScript(new URL('./support/touch-undeclared.lua', import.meta.url))
const billing = keySpace({ environment: 'test', service: 'billing' })
const user = keySpace({ environment: 'test', service: 'user' })
let server: TestRedis
let redis: RedisConnection

beforeAll(async () => {
  server = await startRedis({ acl: true, services: ['billing', 'user'] })
  redis = connectRedis({ url: server.urlFor('billing'), name: 'cache' })
  expect(await redis.whenReady(3000)).toBe(true)
})
afterAll(async () => {
  await redis.close()
  await server.stop()
})

describe("R4: a service's Redis user", () => {
  test('reaches the keys and channels that its key space builds', async () => {
    await redis.client.set(billing.key('bill', 'a'), '1')
    expect(await redis.client.get(billing.key('bill', 'a'))).toBe('1')
    await redis.client.publish(billing.channel('news'), 'hello')
    const leave = await redis.subscriber().subscribe(billing.channel('news'), () => {})
    leave()
    expect(await redis.run(touch, { keys: [], args: [billing.key('bill', 'a')] })).toBe(1)
  })

  test("is refused another service's keys", async () => {
    const theirs = user.key('session', 'a')
    for (const call of [
      redis.client.get(theirs),
      redis.client.set(theirs, '1'),
      redis.client.del(billing.key('bill', 'a'), theirs),
      redis.client.rename(billing.key('bill', 'a'), theirs),
    ]) {
      await expect(call).rejects.toThrow('NOPERM')
    }
  })

  test("is refused another service's keys also inside a script, declared or not", async () => {
    const theirs = user.key('session', 'a')
    await expect(redis.run(touch, { keys: [theirs], args: [theirs] })).rejects.toThrow('NOPERM')
    await expect(redis.run(touch, { keys: [], args: [theirs] })).rejects.toThrow(
      /NOPERM|can't access at least one of the keys/,
    )
    expect(await server.client().exists(theirs)).toBe(0)
  })

  test("is refused another service's channels", async () => {
    const subscriber = redis.subscriber()
    await eventually(() => expect(subscriber.active).toBe(true))
    await expect(redis.client.publish(user.channel('news'), 'x')).rejects.toThrow('NOPERM')
    await expect(subscriber.subscribe(user.channel('news'), () => {})).rejects.toThrow('NOPERM')
    await expect(subscriber.subscribePattern('test:*', () => {})).rejects.toThrow('NOPERM')
  })

  test('cannot empty, stop or reconfigure the server, nor read what others do', async () => {
    for (const [command, ...args] of [
      ['FLUSHALL'],
      ['CONFIG', 'GET', '*'],
      ['SHUTDOWN'],
      ['MONITOR'],
      ['KEYS', '*'],
      ['REPLICAOF', 'NO', 'ONE'],
      ['ACL', 'LIST'],
    ] as const) {
      await expect(redis.client.call(command, ...args)).rejects.toThrow('NOPERM')
    }
  })
})

describe('credentials that are wrong', () => {
  const connections: RedisConnection[] = []
  afterEach(() => Promise.all(connections.map((connection) => connection.close())))

  test('are told once, clearly and without the password, and work once they are right', async () => {
    const log = recordingLog()
    const wrong = connectRedis({
      url: `redis://billing:not-the-password@${server.host}:${server.port}`,
      name: 'cache',
      log,
    })
    connections.push(wrong)
    const errors: unknown[] = []
    wrong.client.on('error', (error: unknown) => errors.push(error))
    await eventually(() => expect(wrong.state).toBe('down'))
    await eventually(() => expect(errors.length).toBeGreaterThan(1))
    expect(log.lines).toEqual([expect.stringMatching(/^error Redis cache refuses us: WRONGPASS/)])
    expect(inspect([log.lines, errors], { depth: 10 })).not.toContain('not-the-password')
    await server.client().call('ACL', 'SETUSER', 'billing', '>not-the-password')
    expect(await wrong.whenReady(5000)).toBe(true)
  })

  test('without the right to INFO, by which the role is verified, are refused and named', async () => {
    await server.client().call('ACL', 'SETUSER', 'blind', 'on', '>pw', '~*', '+@all', '-info')
    const log = recordingLog()
    const blind = connectRedis({
      url: `redis://blind:pw@${server.host}:${server.port}`,
      name: 'cache',
      log,
    })
    connections.push(blind)
    await eventually(() => expect(blind.state).toBe('down'))
    expect(log.lines).toEqual([
      expect.stringMatching(/refuses us: NOPERM this user may not run INFO/),
    ])
  })

  test('of nobody are refused too', async () => {
    const log = recordingLog()
    const anonymous = connectRedis({
      url: `redis://${server.host}:${server.port}`,
      name: 'cache',
      log,
    })
    connections.push(anonymous)
    await eventually(() => expect(anonymous.state).toBe('down'))
    expect(log.lines).toEqual([expect.stringMatching(/^error Redis cache refuses us: NOAUTH/)])
  })
})
