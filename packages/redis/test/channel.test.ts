import { eventually, startProxy, startRedis, type TestRedis } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { keySpace } from '../src/index.ts'
import { openChannel, sayApplied } from './support/channels.ts'

let server: TestRedis
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

/** What a script says, but for the message, as when that is lost on the way. */
async function sayUnheard(service: string, words: readonly string[]): Promise<void> {
  const raw = server.client()
  const keys = keySpace({ environment: 'test', service })
  for (const word of words) {
    const number = await raw.incr(keys.key('words', 'sequence'))
    await raw.lpush(keys.key('words', 'log'), `${number} ${word}`)
  }
}

describe('C13 a sequenced channel', () => {
  test('what one process announces every process hears, once and in order', async () => {
    const service = 'order'
    await using one = openChannel({ url: server.url, service })
    await using two = openChannel({ url: server.url, service })
    await Promise.all([one.trusted(), two.trusted()])
    const words = Array.from({ length: 300 }, (_, at) => `w${at}`)
    const issued = await Promise.all(words.map((word) => one.say(word)))
    const sequences = issued.map((each) => (each.outcome === 'applied' ? each.sequence : 0))
    if (!sequences.includes(0)) {
      const [first = 0] = sequences
      expect(sequences).toEqual(words.map((_, at) => first + at))
    }
    await eventually(() => {
      expect(new Set(one.heard)).toEqual(new Set(words))
      expect(new Set(two.heard)).toEqual(new Set(words))
    })
    // What the busy machine deferred is said again; the first time is in order.
    expect([...new Set(two.heard)]).toEqual(words)
    expect(one.heard).toEqual(two.heard)
  })

  test('a gap is noticed at the next message and filled from the log', async () => {
    const service = 'gap'
    await using one = openChannel({ url: server.url, service, heartbeatMs: 60_000 })
    await one.trusted()
    const before = one.losses()
    await sayUnheard(service, ['a', 'b'])
    await sayApplied(one, 'c')
    await eventually(() => expect(new Set(one.heard)).toEqual(new Set(['a', 'b', 'c'])))
    await one.trusted()
    expect(one.losses()).toBe(before)
  })

  test('a message that nothing follows is heard with the next heartbeat', async () => {
    const service = 'silent'
    await using one = openChannel({ url: server.url, service })
    await one.trusted()
    const before = one.losses()
    await sayUnheard(service, ['a', 'b'])
    await eventually(() => expect(one.heard).toEqual(['a', 'b']))
    expect(one.losses()).toBe(before)
  })

  test('where the log does not reach back, everything is lost', async () => {
    const service = 'short'
    await using one = openChannel({ url: server.url, service, kept: 5 })
    await one.trusted()
    const before = one.losses()
    await sayUnheard(
      service,
      Array.from({ length: 20 }, (_, at) => `w${at}`),
    )
    await server.client().ltrim('test:short:words@1:log', 0, 4)
    await eventually(() => expect(one.losses()).toBe(before + 1))
    await one.trusted()
    await sayApplied(one, 'after')
    await eventually(() => expect(one.heard).toContain('after'))
  })

  test('the log keeps no more than it was told', async () => {
    const service = 'kept'
    await using one = openChannel({ url: server.url, service, kept: 10 })
    await one.trusted()
    await Promise.all(Array.from({ length: 50 }, (_, at) => one.say(`w${at}`)))
    expect(await server.client().llen('test:kept:words@1:log')).toBe(10)
  })

  test('after FLUSHALL everything is lost, numbers do not come again, and it goes on', async () => {
    const service = 'flushed'
    await using one = openChannel({ url: server.url, service })
    await one.trusted()
    const first = await sayApplied(one, 'before')
    const losses = one.losses()
    await server.client().flushall()
    await eventually(() => expect(one.losses()).toBeGreaterThan(losses))
    await one.trusted()
    const second = await sayApplied(one, 'after')
    expect(second.sequence).toBeGreaterThan(first.sequence)
    expect(second.epoch).toBe(first.epoch)
    await eventually(() => expect(one.heard).toContain('after'))
  })

  test('a message that belongs to no shard, or is none, is passed over', async () => {
    const service = 'noise'
    await using one = openChannel({ url: server.url, service })
    await one.trusted()
    for (const noise of ['', '7 x 1 a', 'x', '0', '0 ', '0 ~ hello']) {
      await server.client().publish(one.channel.name, noise)
    }
    await sayApplied(one, 'word')
    await eventually(() => expect(one.heard).toContain('word'))
    await one.trusted()
  })
})

describe('C13 a subscriber connection that fails', () => {
  test('killed: what is said meanwhile is heard, and nothing is lost', async () => {
    const service = 'killed'
    await using one = openChannel({ url: server.url, service })
    await using two = openChannel({ url: server.url, service })
    await Promise.all([one.trusted(), two.trusted()])
    const losses = two.losses()
    const raw = server.client()
    for (let round = 0; round < 10; round++) {
      await raw.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await sayApplied(one, `w${round}`)
    }
    await eventually(() => expect(new Set(two.heard).size).toBe(10))
    await Promise.all([one.trusted(), two.trusted()])
    expect(two.losses()).toBe(losses)
  })

  test('half open and silent: it costs a heartbeat, and trust goes on', async () => {
    const service = 'silenced'
    await using proxy = await startProxy(server)
    await using one = openChannel({ url: server.url, service })
    await using two = openChannel({
      url: server.url,
      service,
      subscriberUrl: `redis://127.0.0.1:${proxy.port}`,
    })
    await Promise.all([one.trusted(), two.trusted()])
    const losses = two.losses()
    proxy.blackhole()
    await sayApplied(one, 'word')
    await eventually(() => expect(two.heard).toContain('word'), { withinMs: 2_000 })
    expect(two.losses()).toBe(losses)
    await proxy.heal()
    await two.trusted()
  })

  test('in one process never subscribed, it is heard of by heartbeats but never trusted', async () => {
    const service = 'nowhere'
    await using one = openChannel({ url: server.url, service })
    await using two = openChannel({
      url: server.url,
      service,
      subscriberUrl: 'redis://127.0.0.1:1',
    })
    await one.trusted()
    await eventually(() => expect(two.shard.epoch).toBe(one.shard.epoch))
    await sayApplied(one, 'word')
    await eventually(() => expect(two.heard).toContain('word'))
    expect(two.trust).toEqual([])
    expect(two.channel.trusted).toBe(false)
  })
})
