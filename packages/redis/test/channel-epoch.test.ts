import {
  eventually,
  failOver,
  snapshot,
  startProxy,
  startRedis,
  type TestRedis,
} from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openChannel, sayApplied } from './support/channels.ts'

let server: TestRedis
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

describe('C13 a failover that loses the end of the old history', () => {
  test('what was announced lately is announced again before anything is trusted', async () => {
    await using one = openChannel({ url: server.url, service: 'again' })
    await one.trusted()
    const raw = server.client()
    const before = await snapshot(raw)
    const first = await sayApplied(one, 'word')
    const losses = one.losses()
    await failOver(raw, before)
    expect(await raw.hget(one.counts, 'word')).toBeNull()
    await eventually(() => expect(one.losses()).toBeGreaterThan(losses))
    await one.trusted()
    expect(one.shard.epoch).not.toBe(first.epoch)
    expect(Number(await raw.hget(one.counts, 'word'))).toBeGreaterThanOrEqual(1)
  })

  test('the same when the connection broke with it', async () => {
    await using one = openChannel({ url: server.url, service: 'again-cut' })
    await one.trusted()
    const raw = server.client()
    const before = await snapshot(raw)
    const words = Array.from({ length: 250 }, (_, at) => `w${at}`)
    for (const word of words) await sayApplied(one, word)
    const { epoch } = one.shard
    await failOver(raw, before, { cut: true })
    await eventually(() => expect(one.shard.epoch).not.toBe(epoch))
    await one.trusted()
    expect(Object.keys(await raw.hgetall(one.counts)).toSorted()).toEqual(words.toSorted())
  })

  test('numbers that are used again do not prove synchrony', async () => {
    const service = 'reused'
    await using one = openChannel({ url: server.url, service })
    await using two = openChannel({ url: server.url, service, heartbeatMs: 600_000 })
    await Promise.all([one.trusted(), two.trusted()])
    const raw = server.client()
    const before = await snapshot(raw)
    const lost = await sayApplied(one, 'lost')
    await eventually(() => expect(two.heard).toContain('lost'))
    const losses = two.losses()
    await failOver(raw, before)
    // In the new history the same number is given to other words.
    await eventually(() => expect(one.shard.epoch).not.toBe(lost.epoch))
    await sayApplied(one, 'other')
    await eventually(() => expect(two.shard.epoch).toBe(one.shard.epoch))
    expect(two.losses()).toBeGreaterThan(losses)
    await eventually(() => expect(two.channel.trusted).toBe(true))
    await sayApplied(one, 'last')
    await eventually(() => expect(two.heard).toContain('last'))
  })

  test('an announcement whose answer names another history is applied only where that is followed', async () => {
    await using one = openChannel({ url: server.url, service: 'named', heartbeatMs: 600_000 })
    await one.trusted()
    const raw = server.client()
    await failOver(raw, await snapshot(raw))
    const issued = await sayApplied(one, 'word')
    expect(issued.epoch).toBe(one.shard.epoch)
    expect(one.losses()).toBeGreaterThan(0)
    await one.trusted()
  })
})

describe('C23 announcements while Redis is away', () => {
  test('are deferred, kept, and replayed in their order before anything is trusted', async () => {
    await using proxy = await startProxy(server)
    await using one = openChannel({ url: `redis://127.0.0.1:${proxy.port}`, service: 'away' })
    await one.trusted()
    await proxy.refuse()
    await eventually(() => expect(one.redis.state).toBe('down'))
    const words = Array.from({ length: 250 }, (_, at) => `w${at}`)
    for (const word of words) expect(await one.say(word)).toEqual({ outcome: 'deferred' })
    expect(one.channel.trusted).toBe(false)
    expect(one.shard.settled).toBe(false)
    await proxy.heal()
    await one.trusted()
    expect(Object.keys(await server.client().hgetall(one.counts))).toHaveLength(250)
    // A busy machine may say some of them twice; and who subscribes in the middle hears the rest first.
    const raw = server.client()
    const [log] = await raw.keys('*away*log*')
    const said = (await raw.lrange(log ?? '', 0, -1)).toReversed().map((line) => line.split(' ')[1])
    expect([...new Set(said)]).toEqual(words)
    await eventually(() => expect(one.heard.toSorted()).toEqual(said.toSorted()))
  })

  test('from the very beginning are replayed too', async () => {
    await using proxy = await startProxy(server)
    await proxy.refuse()
    await using one = openChannel({ url: `redis://127.0.0.1:${proxy.port}`, service: 'unborn' })
    expect(await one.say('word')).toEqual({ outcome: 'deferred' })
    await proxy.heal()
    await one.trusted()
    expect(await server.client().hget(one.counts, 'word')).toBe('1')
  })

  test('more than are kept become the one that covers all', async () => {
    await using proxy = await startProxy(server)
    await using one = openChannel({ url: `redis://127.0.0.1:${proxy.port}`, service: 'full' })
    await one.trusted()
    await proxy.refuse()
    await eventually(() => expect(one.redis.state).toBe('down'))
    const words = Array.from({ length: 10_050 }, (_, at) => `w${at}`)
    await Promise.all(words.map((word) => one.say(word)))
    expect(one.shard.kept).toBeLessThan(100)
    await proxy.heal()
    await one.trusted()
    const counts = await server.client().hgetall(one.counts)
    expect(counts['everything']).toBe('1')
    expect(Object.keys(counts).length).toBeLessThan(100)
  })

  test('one that was executed though its answer came too late is told as deferred, and said again', async () => {
    await using proxy = await startProxy(server)
    await using one = openChannel({ url: `redis://127.0.0.1:${proxy.port}`, service: 'late' })
    await sayApplied(one, 'first')
    await one.trusted()
    proxy.blackhole('replies')
    expect(await one.say('word')).toEqual({ outcome: 'deferred' })
    expect(await server.client().hget(one.counts, 'word')).toBe('1')
    expect(one.channel.trusted).toBe(false)
    await proxy.heal()
    await one.trusted()
    expect(one.heard).toContain('word')
  })
})
