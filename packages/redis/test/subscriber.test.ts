import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import { connectRedis } from '../src/index.ts'
import { recordingLog } from './support/log.ts'

let server: TestRedis

beforeAll(async () => {
  server = await startRedis({ acl: true })
})
afterAll(() => server.stop())

const connect = (log = recordingLog()) =>
  connectRedis({ url: server.urlFor('billing'), name: 'cache', log })
const channel = 'test:billing:news@1'

describe('C13: subscriptions', () => {
  test('deliver to every listener of a channel or a pattern, until it leaves', async () => {
    await using redis = connect()
    await redis.whenReady(3000)
    const subscriber = redis.subscriber()
    const heard: string[] = []
    const leaveA = await subscriber.subscribe(channel, (message) => heard.push(`a ${message}`))
    const leaveB = await subscriber.subscribe(channel, (message) => heard.push(`b ${message}`))
    await subscriber.subscribePattern('test:billing:*', (message, from) => {
      heard.push(`p ${from} ${message}`)
    })
    await eventually(async () => {
      await redis.client.publish(channel, '1')
      expect(heard).toEqual(expect.arrayContaining(['a 1', 'b 1', `p ${channel} 1`]))
    })
    leaveA()
    await redis.client.publish(channel, '2')
    await eventually(() => expect(heard).toContain('b 2'))
    leaveB()
    leaveB()
    await redis.client.publish(channel, '3')
    await eventually(() => expect(heard).toContain(`p ${channel} 3`))
    expect(heard).not.toContain('a 2')
    expect(heard).not.toContain('b 3')
  })

  test('stand again after the connection broke, and say so', async () => {
    await using redis = connect()
    await redis.whenReady(3000)
    const subscriber = redis.subscriber()
    const heard: string[] = []
    let activations = 0
    subscriber.onActive(() => (activations += 1))
    await subscriber.subscribe(channel, (message) => heard.push(message))
    await eventually(() => expect(activations).toBe(1))
    const admin = server.client()
    for (let round = 2; round <= 6; round += 1) {
      await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await eventually(() => expect(activations).toBe(round))
      expect(subscriber.active).toBe(true)
      await admin.publish(channel, `round ${round}`)
      await eventually(() => expect(heard).toContain(`round ${round}`))
    }
  })

  test('made while Redis is away, take effect when it is back', async () => {
    await using redis = connect()
    const subscriber = redis.subscriber()
    await redis.whenReady(3000)
    await server.kill()
    await eventually(() => expect(redis.state).toBe('down'))
    await eventually(() => expect(subscriber.active).toBe(false))
    const heard: string[] = []
    await subscriber.subscribe(channel, (message) => heard.push(message))
    await server.restart()
    await eventually(() => expect(subscriber.active).toBe(true))
    await server.client().publish(channel, 'hello')
    await eventually(() => expect(heard).toEqual(['hello']))
  })

  test('that the server refuses reject, and leave the others standing', async () => {
    const log = recordingLog()
    await using redis = connect(log)
    const subscriber = redis.subscriber()
    const heard: string[] = []
    // Before it is connected nobody can refuse it: it is told in the log.
    await subscriber.subscribe('test:user:news', () => {})
    await subscriber.subscribe(channel, (message) => heard.push(message))
    await eventually(() => expect(subscriber.active).toBe(true))
    await expect(subscriber.subscribe('test:user:other', () => {})).rejects.toThrow('NOPERM')
    await server.client().publish(channel, 'hello')
    await eventually(() => expect(heard).toEqual(['hello']))
    expect(log.lines).toContain('error Redis cache refuses a subscription')
  })

  test('a listener that throws does not keep the message from the others', async () => {
    const log = recordingLog()
    await using redis = connect(log)
    const subscriber = redis.subscriber()
    const heard: string[] = []
    await subscriber.subscribe(channel, () => {
      throw new Error('mine')
    })
    await subscriber.subscribe(channel, (message) => heard.push(message))
    await eventually(() => expect(subscriber.active).toBe(true))
    await server.client().publish(channel, 'hello')
    await eventually(() => expect(heard).toEqual(['hello']))
    expect(log.lines).toContain('error a listener of a Redis subscription threw')
  })
})
