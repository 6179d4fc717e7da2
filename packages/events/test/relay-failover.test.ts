import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startSentinelGroup, type TestSentinelGroup } from '@wattle/testkit'
import { startRelay } from '../src/index.ts'
import { childProcesses } from './children.ts'
import {
  append,
  connect,
  environment,
  firstAppearances,
  paymentStream,
  startEventDatabase,
  streamEvents,
  upTo,
  soon,
} from './support.ts'

describe('E1: the relay, when servers and processes fail', { timeout: 120_000 }, () => {
  let group: TestSentinelGroup
  let db: Awaited<ReturnType<typeof startEventDatabase>>
  beforeAll(async () => {
    group = await startSentinelGroup({ group: 'state', downAfterMs: 2000 })
  })
  beforeEach(async () => {
    await group.whenReady(60_000)
    db = await startEventDatabase()
    await group.client(await group.master()).flushall()
    onTestFinished(() => db.close())
  }, 90_000)
  afterAll(() => group.stop())

  const waiting = async () =>
    Number((await db.query('select count(*) from outbox where sent_at is null'))[0]?.['count'])
  const eventsOnMaster = async () => streamEvents(group.client(await group.master()))

  async function relayHere() {
    const redis = await connect(group.url, 'relay-test')
    const relay = startRelay({ databaseUrl: db.url, redis, environment, service: 'payment' })
    onTestFinished(async () => {
      await relay.stop()
      await redis.close()
    })
    return relay
  }

  /** Ten subjects, written to until stopped; resolves to how many events each has. */
  function writing() {
    const counts = new Map(upTo(10).map((n) => [`s${n}`, 0]))
    let stopped = false
    onTestFinished(() => void (stopped = true))
    const writers = [...counts.keys()].map(async (subject) => {
      // At a pace that leaves a small machine something for the servers under test.
      for (; !stopped; await delay(10)) {
        const [event] = await append(db.pool, subject)
        counts.set(subject, event?.version ?? 0)
      }
    })
    return async () => {
      stopped = true
      await Promise.all(writers)
      return counts
    }
  }

  async function expectAllInOrder(counts: Map<string, number>): Promise<void> {
    await soon(async () => expect(await waiting()).toBe(0))
    const appearances = firstAppearances(await eventsOnMaster())
    for (const [subject, count] of counts) expect(appearances.get(subject)).toEqual(upTo(count))
  }

  for (const [fault, hurt, heal] of [
    ['killed', (node) => group.kill(node), (node) => group.restart(node)],
    ['frozen', async (node) => group.freeze(node), async (node) => group.thaw(node)],
  ] satisfies [string, Fault, Fault][]) {
    test(`a master ${fault} while events flow: the new one has all of them, each subject in order`, async () => {
      await relayHere()
      const stop = writing()
      await soon(async () => expect((await eventsOnMaster()).length).toBeGreaterThan(200))
      const master = await group.master()
      await hurt(master)
      await soon(async () => expect(await group.master()).not.toBe(master))
      const before = (await eventsOnMaster()).length
      await soon(async () => expect((await eventsOnMaster()).length).toBeGreaterThan(before + 200))
      const counts = await stop()
      await heal(master)
      await expectAllInOrder(counts)
    })
  }

  test('what only a cut-off master accepted does not count as sent, and comes again after the failover', async () => {
    const relay = await relayHere()
    await append(db.pool, 'a')
    await soon(async () => expect(await waiting()).toBe(0))
    const master = await group.master()
    const replicas = await group.replicas()
    // The replicas' links are cut and they cannot come back, while the master still takes writes.
    const onMaster = group.client(master)
    await onMaster.config('SET', 'min-replicas-to-write', '0')
    onTestFinished(async () => {
      for (const node of group.nodes)
        await group.client(node).config('SET', 'masterauth', group.credentials.replication)
      for (const node of group.nodes)
        await group.client(node).config('SET', 'min-replicas-to-write', '1')
    })
    for (const node of replicas) await group.client(node).config('SET', 'masterauth', 'wrong')
    await onMaster.call('CLIENT', 'KILL', 'TYPE', 'replica')
    for (let i = 0; i < 30; i += 1) await append(db.pool, 'a', 'b')
    await soon(async () => {
      expect(await onMaster.xlen(paymentStream)).toBeGreaterThan(1)
    })
    expect(await waiting()).toBe(60)
    expect(relay.active).toBe(true)

    await group.kill(master)
    await soon(async () => expect(await group.master()).not.toBe(master))
    for (const node of replicas)
      await group.client(node).config('SET', 'masterauth', group.credentials.replication)
    await group.restart(master)
    await append(db.pool, 'a')
    await expectAllInOrder(
      new Map([
        ['a', 32],
        ['b', 30],
      ]),
    )
  })

  test('what a lost history had of the last minute comes again, ahead of anything new', async () => {
    await relayHere()
    for (let i = 0; i < 20; i += 1) await append(db.pool, 'a')
    await soon(async () => expect(await waiting()).toBe(0))
    const lost = (await eventsOnMaster()).filter(({ version }) => version > 15)
    const master = await group.master()
    // A tail that replicas confirmed and the new master lacks: as if the one that confirmed it had died too.
    const promoted = (await group.replicas())[0]
    if (!promoted) throw new Error('no replica')
    await group.kill(master)
    const next = await soon(async () => {
      const current = await group.master()
      expect(current).not.toBe(master)
      return current
    })
    const client = group.client(next)
    await client.xdel(paymentStream, ...lost.map(({ entryId }) => entryId))
    await append(db.pool, 'a')
    await group.restart(master)
    await expectAllInOrder(new Map([['a', 21]]))
  })

  test('a quiet service notices a failover too', async () => {
    await relayHere()
    await append(db.pool, 'a', 'b')
    await soon(async () => expect(await waiting()).toBe(0))
    const [{ epoch } = { epoch: '' }] = await db.query('select epoch from outbox_relay')
    const next = await group.failover()
    await soon(async () => {
      expect((await db.query('select epoch from outbox_relay'))[0]?.['epoch']).not.toBe(epoch)
    })
    await soon(async () => expect(await streamEvents(group.client(next))).toHaveLength(4))
  })

  test('relays killed at any moment: another goes on, nothing is left out, each subject in order', async () => {
    const children = childProcesses()
    onTestFinished(() => children.endAll())
    const settings = { redisUrl: group.url, databaseUrl: db.url, environment, replicas: 1 }
    const start = () => children.start('relay-process', settings)
    const relays = [start(), start()]
    const stop = writing()
    for (let round = 0; round < 5; round += 1) {
      const active = await soon(() => {
        const found = relays.find((relay) => relay.state === 'active')
        if (!found) throw new Error('no relay is active')
        return found
      })
      const before = (await eventsOnMaster()).length
      await soon(async () => expect((await eventsOnMaster()).length).toBeGreaterThan(before + 50))
      active.kill('SIGKILL')
      await active.exited
      relays[relays.indexOf(active)] = start()
    }
    await expectAllInOrder(await stop())
  })

  test('a relay process that hangs loses its place, and does no harm when it wakes', async () => {
    const children = childProcesses()
    onTestFinished(() => children.endAll())
    const settings = { redisUrl: group.url, databaseUrl: db.url, environment, replicas: 1 }
    const first = children.start('relay-process', settings)
    await soon(() => expect(first.state).toBe('active'))
    const second = children.start('relay-process', settings)
    await soon(() => expect(second.state).toBe('standing by'))
    const stop = writing()
    await soon(async () => expect((await eventsOnMaster()).length).toBeGreaterThan(100))
    first.kill('SIGSTOP')
    await soon(() => expect(second.state).toBe('active'))
    first.kill('SIGCONT')
    await soon(() => expect(first.state).toBe('standing by'))
    await expectAllInOrder(await stop())
  })
})

type Fault = (node: Awaited<ReturnType<TestSentinelGroup['master']>>) => Promise<void>
