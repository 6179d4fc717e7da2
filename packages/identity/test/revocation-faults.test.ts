import { connectRedis } from '@wattle/redis'
import { eventually, startProxy, startSentinelGroup } from '@wattle/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { liveRevocations, revocationChannel, revocations } from '../src/index.ts'
import { sessionId } from './forge.ts'
import {
  addressOf,
  forEachTestEmptyRedis,
  inAMinute,
  issuer,
  keys,
  tableOf,
  token,
  viewer,
} from './revocation-processes.ts'

describe('T3 revocations over a Redis that fails', () => {
  const { server, as } = forEachTestEmptyRedis()

  test('what an issuer left behind when it was killed between commit and publication, another publishes', async () => {
    const { log, commit } = tableOf()
    const view = viewer(as('gateway'))
    const { publisher } = issuer(as('user'), log)
    publisher.start()
    await eventually(() => expect(view.check(token)).toBe('valid'))
    // Committed by a process that is no more: nobody flushes.
    commit({ id: sessionId, untilMs: inAMinute() })
    await eventually(() => expect(view.check(token)).toBe('revoked'))
  })

  test('what was deleted from Redis is published again, from the database', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    commit({ id: sessionId, untilMs: inAMinute() })
    publisher.start()
    const before = viewer(as('gateway'))
    await eventually(() => expect(before.check(token)).toBe('revoked'))
    await server().client().flushall()
    const after = viewer(as('gateway'))
    await eventually(() => expect(after.check(token)).toBe('revoked'))
    await eventually(() => expect(after.check({ ...token, sessionId: 'ses_2' })).toBe('valid'))
    // Who listened goes on, although the numbers began anew.
    commit({ id: 'ses_3', untilMs: inAMinute() })
    for (const view of [before, after]) {
      await eventually(() => expect(view.check({ ...token, sessionId: 'ses_3' })).toBe('revoked'))
      await eventually(() => expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('valid'))
    }
  })

  test('that a process slept through it has from the log, or where that is too short from the whole set, and is sure only then', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    publisher.start()
    await using proxy = await startProxy(addressOf(server()))
    const away = new URL(as('gateway'))
    away.host = `${proxy.host}:${proxy.port}`
    const heard = { losses: 0, messages: 0, reads: 0 }
    const redis = connectRedis({ url: away.href, name: 'gateway' })
    const source = liveRevocations({ redis, keys })
    const view = revocations({
      channel: (listener) =>
        revocationChannel({
          redis,
          keys,
          listener: {
            message(payload) {
              heard.messages++
              listener.message(payload)
            },
            lost() {
              heard.losses++
              listener.lost()
            },
          },
        }),
      source: { load: () => source.load().finally(() => heard.reads++) },
      retryMs: 50,
    })
    onTestFinished(async () => {
      await view.close()
      await redis.close()
    })
    await eventually(() => expect(view.check(token)).toBe('valid'))
    const before = { ...heard }
    async function sleepThrough(first: number, count: number): Promise<void> {
      proxy.blackhole('both')
      // Or what was sent meanwhile might wait for it on the way.
      await server().client().call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      for (let n = first; n < first + count; n++) {
        commit({ id: `ses_${n}`, untilMs: inAMinute() })
        await eventually(async () => expect(await publisher.flush()).toBe(true))
      }
      await eventually(() => expect(view.check(token)).toBe('unknown'))
      await proxy.heal()
      await eventually(() => expect(view.check(token)).toBe('valid'), { withinMs: 15_000 })
      // Sure again, and nothing is missing.
      expect(view.size).toBe(first + count)
    }
    await sleepThrough(0, 100)
    expect(heard).toEqual({ ...before, messages: before.messages + 100 })
    await sleepThrough(100, 510)
    expect(heard.losses).toBe(before.losses + 1)
    expect(heard.reads).toBeGreaterThan(before.reads)
  }, 60_000)

  test('with Redis frozen a flush says deferred in half a second, the view says unknown, and all is made up later', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    publisher.start()
    const view = viewer(as('gateway'))
    await eventually(() => expect(view.check(token)).toBe('valid'))
    server().freeze()
    try {
      commit({ id: sessionId, untilMs: inAMinute() })
      const startedMs = performance.now()
      expect(await publisher.flush(500)).toBe(false)
      expect(performance.now() - startedMs).toBeLessThan(2_000)
      await eventually(() => expect(view.check(token)).toBe('unknown'))
    } finally {
      server().thaw()
    }
    await eventually(() => expect(view.check(token)).toBe('revoked'), { withinMs: 10_000 })
  })

  test('a subscription that is cut costs a heartbeat, and no revocation', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    publisher.start()
    const view = viewer(as('gateway'))
    for (let n = 0; n < 10; n++) {
      await server().client().call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      commit({ id: `ses_${n}`, untilMs: inAMinute() })
      await publisher.flush()
      await eventually(() =>
        expect(view.check({ ...token, sessionId: `ses_${n}` })).toBe('revoked'),
      )
    }
  })
})

describe('T3 revocations over a failover', () => {
  test('none is lost that a master took and its replicas did not: it is published again from the database', async () => {
    await using group = await startSentinelGroup({ group: 'state', services: ['user', 'gateway'] })
    const { log, rows, commit } = tableOf()
    const { publisher } = issuer(group.urlFor('user'), log)
    publisher.start()
    const view = viewer(group.urlFor('gateway'))
    await eventually(() => expect(view.check(token)).toBe('valid'), { withinMs: 15_000 })
    const master = await group.master()
    commit({ id: 'ses_before', untilMs: Date.now() + 300_000 })
    await eventually(() => expect(rows[0]?.epoch).toBeDefined())
    const oldEpoch = rows[0]?.epoch
    // The tail that is lost: the database has it, the old master acknowledged it, no replica ever gets it.
    commit({ id: sessionId, untilMs: Date.now() + 300_000 })
    const [, tail] = rows
    if (tail !== undefined && oldEpoch !== undefined) tail.epoch = oldEpoch
    await group.kill(master)
    await eventually(() => expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('unknown'), {
      withinMs: 15_000,
    })
    await eventually(() => expect(view.check(token)).toBe('revoked'), { withinMs: 30_000 })
    await eventually(() => expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('valid'), {
      withinMs: 30_000,
    })
    expect(rows.map(({ epoch }) => epoch === oldEpoch)).toEqual([false, false])
  }, 90_000)
})
