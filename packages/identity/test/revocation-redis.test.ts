import { connectRedis, keySpace } from '@wattle/redis'
import {
  eventually,
  startCluster,
  startRedis,
  startSentinelGroup,
  type TestRedis,
} from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import {
  liveRevocations,
  liveSet,
  polledChannel,
  revocationPublisher,
  revocations,
  type Revocation,
  type RevocationLog,
  type StoredRevocation,
} from '../src/index.ts'
import { familyId, sessionId, userId } from './forge.ts'

const keys = keySpace({ environment: 'test', service: 'user' })
const token = { tokenId: 'tok_1', sessionId, familyId, userId, issuedAtMs: Date.now() }
const inAMinute = () => Date.now() + 60_000

const nobody = { message: () => undefined, lost: () => undefined }

/** The table of revocations, in memory: which rows there are, and which epoch has them. */
function tableOf() {
  const rows: (StoredRevocation & { epoch?: string })[] = []
  const log: RevocationLog = {
    unpublished: (epoch, limit, after) =>
      Promise.resolve(
        rows
          .filter((row) => row.sequence > after && (epoch === undefined || row.epoch !== epoch))
          .slice(0, limit),
      ),
    markPublished(sequences, epoch) {
      for (const row of rows) if (sequences.includes(row.sequence)) row.epoch = epoch
      return Promise.resolve()
    },
  }
  const commit = (one: Revocation) => rows.push({ ...one, sequence: rows.length + 1 })
  return { rows, log, commit }
}

/** One process that issues. */
function issuer(url: string, log: RevocationLog) {
  const redis = connectRedis({ url, name: 'user' })
  const channel = polledChannel({
    redis,
    keys,
    name: 'revocation',
    listener: nobody,
  })
  const publisher = revocationPublisher({
    log,
    live: liveSet({ redis, keys }),
    channel,
    everyMs: 50,
  })
  const close = async () => {
    await publisher.close()
    await channel.close()
    await redis.close()
  }
  onTestFinished(close)
  return { redis, publisher, close }
}

/** One process that checks. */
function viewer(url: string) {
  const redis = connectRedis({ url, name: 'gateway' })
  const view = revocations({
    channel: (listener) => polledChannel({ redis, keys, name: 'revocation', listener }),
    source: liveRevocations({ redis, keys }),
    retryMs: 50,
  })
  onTestFinished(async () => {
    await view.close()
    await redis.close()
  })
  return view
}

describe('T3 revocations over one Redis', () => {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ acl: true, group: 'state', services: ['user', 'gateway'] })
  })
  beforeEach(() => server.client().flushall())
  afterAll(() => server.stop())
  const as = (service: string) => server.urlFor(service)

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

  test('the gateway can read them and cannot change them', async () => {
    const redis = connectRedis({ url: as('gateway'), name: 'gateway' })
    onTestFinished(() => redis.close())
    await redis.whenReady(5_000)
    const live = keys.key('revocation-live')
    await expect(redis.client.zadd(live, 1, 'x')).rejects.toThrow(/NOPERM/)
    await expect(redis.client.del(live)).rejects.toThrow(/NOPERM/)
    const stream = keys.key('revocation-log')
    await expect(redis.client.xadd(stream, '*', 'p', 'x')).rejects.toThrow(/NOPERM/)
    await expect(redis.client.get(keys.key('profile', 'x'))).rejects.toThrow(/NOPERM/)
  })

  test('no view trusts the set before the publisher has said that it is complete', async () => {
    const view = viewer(as('gateway'))
    const { log, commit } = tableOf()
    commit({ id: sessionId, untilMs: inAMinute() })
    const { redis, publisher } = issuer(as('user'), log)
    await redis.whenReady(5_000)
    await eventually(() =>
      expect(server.client().exists(keys.key('revocation-live'))).resolves.toBe(0),
    )
    expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('unknown')
    publisher.start()
    await eventually(() => expect(view.check({ ...token, sessionId: 'ses_2' })).toBe('valid'))
    expect(view.check(token)).toBe('revoked')
  })

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
    await server.client().flushall()
    const after = viewer(as('gateway'))
    await eventually(() => expect(after.check(token)).toBe('revoked'))
    await eventually(() => expect(after.check({ ...token, sessionId: 'ses_2' })).toBe('valid'))
  })

  test('thousands at once arrive all, in batches', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    const view = viewer(as('gateway'))
    for (let n = 0; n < 2_345; n++) commit({ id: `ses_${n}`, untilMs: inAMinute() })
    publisher.start()
    await eventually(() => expect(view.size).toBe(2_345))
    expect(await server.client().zcard(keys.key('revocation-live'))).toBe(2_346)
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
    const epoch = await live.add(all, Date.now())
    const source = liveRevocations({ redis, keys, pageSize: 10 })
    expect(await source.load()).toBeUndefined()
    expect(await live.complete(epoch)).toBe(true)
    expect((await source.load())?.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual(
      all.toSorted((a, b) => a.id.localeCompare(b.id)),
    )
  })

  test('that a process slept through come in portions, and it is sure only after the last', async () => {
    const redis = connectRedis({ url: as('user'), name: 'user' })
    const sleeper = connectRedis({ url: as('gateway'), name: 'gateway' })
    onTestFinished(() => Promise.all([redis.close(), sleeper.close()]).then(() => undefined))
    await Promise.all([redis.whenReady(5_000), sleeper.whenReady(5_000)])
    const issuing = polledChannel({ redis, keys, name: 'revocation', listener: nobody })
    const heard: string[] = []
    const listening = polledChannel({
      redis: sleeper,
      keys,
      name: 'revocation',
      // It learns by its heartbeat alone.
      heartbeatMs: 200,
      listener: { message: (_shard, payload) => void heard.push(payload), lost: () => undefined },
    })
    onTestFinished(async () => {
      await issuing.close()
      await listening.close()
    })
    await eventually(() => expect(listening.trustedUntilMs(0)).toBeGreaterThan(performance.now()))
    const sent = Array.from({ length: 950 }, (_, n) => `message ${n}`)
    await Promise.all(sent.map((payload) => issuing.issue({ payload })))
    await eventually(() => expect(heard).toHaveLength(950))
    expect(new Set(heard)).toEqual(new Set(sent))
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
      const members = await server.client().zrange(keys.key('revocation-live'), '0', '-1')
      expect(members.join()).not.toMatch('ses_short')
    })
  })

  test('with Redis frozen a flush says deferred in half a second, the view says unknown, and all is made up later', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    publisher.start()
    const view = viewer(as('gateway'))
    await eventually(() => expect(view.check(token)).toBe('valid'))
    server.freeze()
    try {
      commit({ id: sessionId, untilMs: inAMinute() })
      const startedMs = performance.now()
      expect(await publisher.flush(500)).toBe(false)
      expect(performance.now() - startedMs).toBeLessThan(2_000)
      await eventually(() => expect(view.check(token)).toBe('unknown'))
    } finally {
      server.thaw()
    }
    await eventually(() => expect(view.check(token)).toBe('revoked'), { withinMs: 10_000 })
  })

  test('a subscription that is cut costs a heartbeat, and no revocation', async () => {
    const { log, commit } = tableOf()
    const { publisher } = issuer(as('user'), log)
    publisher.start()
    const view = viewer(as('gateway'))
    for (let n = 0; n < 10; n++) {
      await server.client().call('CLIENT', 'KILL', 'TYPE', 'pubsub')
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
