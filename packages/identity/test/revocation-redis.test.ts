import { connectRedis } from '@wattle/redis'
import { eventually, startCluster } from '@wattle/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { liveRevocations, liveSet, revocationChannel } from '../src/index.ts'
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

describe('T3 revocations over one Redis', () => {
  const { server, as } = forEachTestEmptyRedis()

  test('reach a process that listens, with the rights of the gateway, and one that comes later', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    publisher.start()
    const early = viewer(as('gateway'))
    await eventually(() => expect(early.check(token)).toBe('valid'))
    commit({ id: sessionId, untilMs: inAMinute() })
    expect(await publisher.flush()).toBe(true)
    await eventually(() => expect(early.check(token)).toBe('revoked'), { everyMs: 1 })
    const late = viewer(as('gateway'))
    await eventually(() => expect(late.check(token)).toBe('revoked'))
    expect(late.check({ ...token, sessionId: 'ses_2' })).toBe('valid')
  })

  test('no view trusts the set before the publisher has said that it is complete', async () => {
    const view = viewer(as('gateway'))
    const { log, commit } = tableOf()
    commit({ id: sessionId, untilMs: inAMinute() })
    const { redis, publisher } = issuer(as('user'), log)
    await redis.whenReady(5_000)
    await eventually(() =>
      expect(server().client().exists(keys.key('revocation-live'))).resolves.toBe(0),
    )
    expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('unknown')
    publisher.start()
    await eventually(() => expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('valid'))
    expect(view.check(token)).toBe('revoked')
  })

  test('thousands at once arrive all, in batches', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    const view = viewer(as('gateway'))
    for (let n = 0; n < 2_345; n++) commit({ id: `ses_${n}`, untilMs: inAMinute() })
    publisher.start()
    await eventually(() => expect(view.size).toBe(2_345))
    expect(await server().client().zcard(keys.key('revocation-live'))).toBe(2_346)
  })

  test('are read whole in pages, also where many end at the same moment', async () => {
    const redis = connectRedis({ url: as('user'), name: 'user' })
    onTestFinished(() => redis.close())
    await redis.whenReady(5_000)
    const live = liveSet({ redis, keys })
    const untilMs = inAMinute()
    const all = Array.from({ length: 537 }, (_, n) => ({
      id: `ses_${n}`,
      untilMs: untilMs + (n >> 6),
    }))
    const channel = revocationChannel({ redis, keys })
    onTestFinished(() => channel.close())
    const epoch = (await channel.publish(all, Date.now())) ?? ''
    expect(epoch).toBe((await live.epoch()).epoch)
    const source = liveRevocations({ redis, keys, pageSize: 10 })
    expect(await source.load()).toBeUndefined()
    expect(await live.complete(epoch)).toBe(true)
    expect((await source.load())?.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual(
      all.toSorted((a, b) => a.id.localeCompare(b.id)),
    )
  })

  test('announcing the same twice changes nothing', async () => {
    const { redis } = issuer(as('user'), tableOf().log)
    await redis.whenReady(5_000)
    const channel = revocationChannel({ redis, keys })
    onTestFinished(() => channel.close())
    const one = { id: sessionId, untilMs: inAMinute() }
    const epochs = [
      await channel.publish([one], Date.now()),
      await channel.publish([one], Date.now()),
    ]
    expect(epochs[0]).toMatch(/^[0-9a-f]{16}$/)
    expect(epochs[1]).toBe(epochs[0])
    expect(await server().client().zcard(keys.key('revocation-live'))).toBe(1)
  })

  test('the set in Redis forgets what has ended', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    publisher.start()
    await eventually(async () => expect(await publisher.flush()).toBe(true))
    commit({ id: 'ses_short', untilMs: Date.now() + 150 })
    expect(await publisher.flush()).toBe(true)
    let rounds = 0
    await eventually(async () => {
      commit({ id: `ses_${rounds++}`, untilMs: Date.now() + 100 })
      await publisher.flush()
      const members = await server().client().zrange(keys.key('revocation-live'), '0', '-1')
      expect(members.join()).not.toMatch('ses_short')
    })
  })
})

describe('T3, R6 revocations over a Redis Cluster', () => {
  test('reach who listens and who comes later, by configuration alone', async () => {
    await using cluster = await startCluster()
    const { log, commit } = tableOf()
    const { publisher } = issuer(cluster.url, log)
    publisher.start()
    const early = viewer(cluster.url)
    await eventually(() => expect(early.check(token)).toBe('valid'), { withinMs: 15_000 })
    commit({ id: sessionId, untilMs: inAMinute() })
    expect(await publisher.flush()).toBe(true)
    await eventually(() => expect(early.check(token)).toBe('revoked'))
    const late = viewer(cluster.url)
    await eventually(() => expect(late.check(token)).toBe('revoked'), { withinMs: 15_000 })
    expect(late.check({ ...token, sessionId: 'ses_2' })).toBe('valid')
  }, 60_000)
})
