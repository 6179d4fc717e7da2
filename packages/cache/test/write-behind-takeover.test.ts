import { connectRedis, keySpace } from '@wattle/redis'
import { startCluster, startRedis, startSentinelGroup } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { createCache } from '../src/index.ts'
import {
  createSource,
  endWrites,
  expectNothingWaits,
  holdWrites,
  row,
  soon,
  test,
  type Row,
} from './write-behind-setup.ts'

describe('C5 write-behind: one writer after another', { timeout: 60_000 }, () => {
  test('a writer that lost its lock is told, settles nothing, and another writes', async ({
    writer,
    source,
  }) => {
    const one = await writer()
    const held = holdWrites(source)
    await one.writes.put('a', row('a', 1))
    await held.begun()
    endWrites(source)
    await one.state.client.del(one.key('stream').replace(/writes@1:.*/, 'lock@1:writes:meters'))
    const two = await writer()
    await expectNothingWaits(two)
    expect(source.rows.get('a')).toEqual(row('a', 1))
    await soon(() => expect(held.aborted).toBe(true))
  })

  test('what the dead one had written and not yet forgotten is not written again', async ({
    writer,
    source,
  }) => {
    const one = await writer()
    const held = holdWrites(source)
    await one.writes.put('written', row('written', 1))
    await held.begun()
    await one.writes.put('other', row('other', 1))
    await one.writes.stop({ withinMs: 0 })
    // As if it had died after it took the mark off.
    await one.state.client.hdel(one.key('pending'), 'written')
    endWrites(source)
    const two = await writer()
    await expectNothingWaits(two)
    expect(source.batches).toEqual([['other']])
  })

  test('a change that was overtaken in the hands of the dead one is left out', async ({
    writer,
    source,
  }) => {
    const one = await writer()
    const held = holdWrites(source)
    await one.writes.put('a', row('a', 1))
    await held.begun()
    await one.writes.put('a', row('a', 2))
    await one.writes.stop({ withinMs: 0 })
    endWrites(source)
    const two = await writer()
    await expectNothingWaits(two)
    expect(source.batches).toEqual([['a']])
    expect(source.rows.get('a')).toEqual(row('a', 2))
  })

  test('what a writer that was frozen takes when it wakes, before it knows, is written by the present one', async ({
    writer,
    source,
  }) => {
    const one = await writer()
    const held = holdWrites(source)
    await one.writes.put('a', row('a', 1))
    await held.begun()
    await one.writes.put('b', row('b', 1))
    await one.state.client.xreadgroup(
      'GROUP',
      'writer',
      'writer',
      'STREAMS',
      one.key('stream'),
      '>',
    )
    endWrites(source)
    held.open()
    await expectNothingWaits(one)
    expect(source.rows.get('b')).toEqual(row('b', 1))
  })

  test('a consumer group that was lost is made anew: nothing is left out, and nothing goes back', async ({
    writer,
    source,
  }) => {
    const retry = { baseMs: 60_000, longestMs: 60_000 }
    const one = await writer({ batchSize: 1, retry })
    let fails = true
    source.before = async (changes) => {
      if (fails && changes.some(({ key }) => key === 'a')) throw new Error('not yet')
    }
    // More than one read brings.
    for (let amount = 1; amount <= 15; amount++) await one.writes.put('a', row('a', amount))
    await one.writes.put('b', row('b', 1))
    await soon(() => expect(source.rows.get('b')).toEqual(row('b', 1)))
    fails = false
    await one.state.client.xgroup('DESTROY', one.key('stream'), 'writer')
    await one.writes.put('c', row('c', 1))
    await soon(() => expect(source.rows.get('c')).toEqual(row('c', 1)))
    // It waits for its next attempt, or for a newer change.
    expect(source.rows.has('a')).toBe(false)
    await one.writes.put('a', row('a', 16))
    await expectNothingWaits(one)
    expect(source.rows.get('a')).toEqual(row('a', 16))
  })

  test('however many writers have had a change while the source was away, it is not blamed', async ({
    writer,
    source,
  }) => {
    let calls = 0
    source.before = async () => {
      calls++
      throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    }
    const one = await writer()
    const { version } = await one.writes.put('a', row('a', 1))
    await soon(() => expect(calls).toBeGreaterThan(0))
    await one.writes.stop({ withinMs: 0 })
    const { client } = one.state
    const group = [one.key('stream'), 'writer'] as const
    await client.call('XCLAIM', ...group, 'writer', 0, `${version}-0`, 'RETRYCOUNT', 19)

    const two = await writer()
    await soon(async () => {
      const [[, , , times] = []] = (await client.xpending(...group, '-', '+', 1)) as unknown[][]
      expect(times).toBe(1)
    })
    endWrites(source)
    await expectNothingWaits(two)
    expect(source.rows.get('a')).toEqual(row('a', 1))
    expect(await two.writes.deadLetters.list()).toEqual([])
  })

  test('a change that ends every process that writes it goes to the dead letters, alone', async ({
    writer,
    source,
  }) => {
    const one = await writer()
    const held = holdWrites(source)
    for (const id of ['a', 'killer', 'b']) await one.writes.put(id, row(id, 1))
    await held.begun()
    await one.writes.stop({ withinMs: 0 })
    const { client } = one.state
    const stream = one.key('stream')
    const entries = await client.xrange(stream, '-', '+')
    await client.call('XREADGROUP', 'GROUP', 'writer', 'writer', 'COUNT', 9, 'STREAMS', stream, '>')
    const deliveries = [3, 20, 3]
    for (const [at, [id]] of entries.entries()) {
      const count = deliveries[at] ?? 1
      await client.call('XCLAIM', stream, 'writer', 'writer', 0, id, 'RETRYCOUNT', count, 'JUSTID')
    }
    endWrites(source)
    const two = await writer()
    await expectNothingWaits(two)
    expect(source.batches).toEqual([['a'], ['b']])
    expect(await two.writes.deadLetters.list()).toMatchObject([
      { key: 'killer', cause: 'delivered 21 times, and never brought to an end' },
    ])
  })
})

describe('C5 write-behind: the state group', { timeout: 60_000 }, () => {
  test(
    'what was accepted with a replica survives the death of the master',
    { timeout: 60_000 },
    async ({ writer, source }) => {
      await using group = await startSentinelGroup({ group: 'state', downAfterMs: 1_000 })
      const { writes } = await writer({ replicas: 1 }, group.url)
      const held = holdWrites(source)
      const accepted: string[] = []
      const putAs = async (id: string) => {
        await writes.put(id, row(id, 1))
        accepted.push(id)
      }
      for (let at = 0; at < 50; at++) await putAs(`before${at}`)
      // The last ones are on their way while it dies.
      const master = await group.master()
      const during = Array.from({ length: 50 }, (_, at) => putAs(`during${at}`).catch(() => {}))
      await Promise.all([...during, group.kill(master)])
      await soon(() => putAs('after'))
      held.open()
      endWrites(source)
      await expectNothingWaits({ writes })
      for (const id of accepted) expect(source.rows.get(id)?.id).toBe(id)
      expect(accepted.length).toBeGreaterThan(50)
      await writes.stop()
    },
  )

  test('it may be a Redis Cluster', async ({ writer, source }) => {
    await using cluster = await startCluster()
    const { cache, kind, get, writes } = await writer({}, cluster.url)
    const ids = Array.from({ length: 20 }, (_, at) => `k${at}`)
    await Promise.all(ids.map((id) => writes.put(id, row(id, 1))))
    await cache.invalidate([kind.all()])
    expect(await get('k7')).toEqual(row('k7', 1))
    await writes.stop()
    expect(source.rows.size).toBe(20)
    expect(await writes.backlog()).toMatchObject({ changes: 0, keys: 0, deadLetters: 0 })
  })

  test('a service that may reach its own names only can write behind', async () => {
    await using server = await startRedis({ acl: true })
    await using stateServer = await startRedis({ group: 'state', acl: true })
    const redis = connectRedis({ url: server.urlFor('billing'), name: 'cache' })
    const state = connectRedis({ url: stateServer.urlFor('billing'), name: 'state' })
    const keys = keySpace({ environment: 'test', service: 'billing' })
    const cache = createCache({ redis, keys, log: { info() {}, warn() {}, error() {} } })
    await Promise.all([redis.whenReady(5_000), state.whenReady(5_000)])
    const source = createSource()
    const kind = cache.kind<Row>('meter', { ttl: '1m' })
    const writes = cache.writeBehind(kind, { redis: state, name: 'm', write: source.write })
    await writes.put('a', row('a', 1))
    expect(await kind.getOrSet('a', () => source.load('a'))).toEqual(row('a', 1))
    await writes.stop()
    expect(source.rows.get('a')).toEqual(row('a', 1))
    expect(await writes.deadLetters.list()).toEqual([])
    cache.close()
    await Promise.all([redis.close(), state.close()])
  })
})
