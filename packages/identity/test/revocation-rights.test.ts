import { connectRedis } from '@wattle/redis'
import { eventually } from '@wattle/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { revocationChannel } from '../src/index.ts'
import { sessionId } from './forge.ts'
import {
  forEachTestEmptyRedis,
  inAMinute,
  issuer,
  keys,
  tableOf,
  token,
  viewer,
} from './revocation-processes.ts'

describe('T3 the rights of a gateway', () => {
  const { server, as } = forEachTestEmptyRedis()

  test('the gateway can read them and cannot change them', async () => {
    const redis = connectRedis({ url: as('gateway'), name: 'gateway' })
    onTestFinished(() => redis.close())
    await redis.whenReady(5_000)
    const live = keys.key('revocation-live')
    await expect(redis.client.zadd(live, 1, 'x')).rejects.toThrow(/NOPERM/)
    await expect(redis.client.del(live)).rejects.toThrow(/NOPERM/)
    await expect(redis.client.get(keys.key('profile', 'x'))).rejects.toThrow(/NOPERM/)
    const of = (part: string) => keys.key('revocation', part)
    await expect(redis.client.set(of('sequence'), 1)).rejects.toThrow(/NOPERM/)
    await expect(redis.client.incr(of('sequence'))).rejects.toThrow(/NOPERM/)
    await expect(redis.client.del(of('sequence'))).rejects.toThrow(/NOPERM/)
    await expect(redis.client.lpush(of('log'), 'x')).rejects.toThrow(/NOPERM/)
    await expect(redis.client.ltrim(of('log'), 1, 0)).rejects.toThrow(/NOPERM/)
    await expect(redis.client.get(of('mark'))).rejects.toThrow(/NOPERM/)
    const announced = keys.channel('revocation')
    await expect(redis.client.publish(announced, '0 a 1 x')).rejects.toThrow(/NOPERM/)
    // Nor by the publisher's own script.
    const forging = revocationChannel({ redis, keys })
    onTestFinished(() => forging.close())
    const forged = { id: sessionId, untilMs: inAMinute() }
    expect(await forging.publish([forged], Date.now())).toBeUndefined()
    expect(await server().client().exists(live, of('log'), of('sequence'))).toBe(0)
  })

  test('the gateway needs no right that it lacks', async () => {
    await server().client().call('ACL', 'LOG', 'RESET')
    const { log, commit } = tableOf()
    const { publisher, redis } = issuer(as('user'), log)
    publisher.start()
    await eventually(async () => expect(await publisher.flush()).toBe(true))
    const view = viewer(as('gateway'))
    await eventually(() => expect(view.check(token)).toBe('valid'))
    // What it has to read from the log, it may.
    await server().client().call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    commit({ id: sessionId, untilMs: inAMinute() })
    await publisher.flush()
    await eventually(() => expect(view.check(token)).toBe('revoked'))
    expect(redis.state).toBe('ready')
    expect(await server().client().call('ACL', 'LOG')).toEqual([])
  })

  test('only the publisher can begin the sequence: until it has, a gateway does not know', async () => {
    const view = viewer(as('gateway'))
    const mark = keys.key('revocation', 'mark')
    // The gateway has asked, and was refused.
    await eventually(() => expect(server().client().exists(mark)).resolves.toBe(1))
    expect(await server().client().exists(keys.key('revocation', 'sequence'))).toBe(0)
    expect(view.trustedUntilMs()).toBe(-Infinity)
    expect(view.check(token)).toBe('unknown')
    const { publisher } = issuer(as('user'), tableOf().log)
    publisher.start()
    await eventually(() => expect(view.check(token)).toBe('valid'))
  })
})
