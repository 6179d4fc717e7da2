import { eventually, startProxy, startRedis, type TestRedis } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openChannel, sayApplied } from './support/channels.ts'

let server: TestRedis
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

/** Keeps the event loop from turning. */
function standStill(milliseconds: number): void {
  const until = performance.now() + milliseconds
  while (performance.now() < until);
}

describe('C13 trust', () => {
  test('one proof lasts for the trust window, from the moment it was asked for', async () => {
    let nowMs = 0
    await using one = openChannel({
      url: server.url,
      service: 'window',
      heartbeatMs: 600_000,
      now: () => nowMs,
    })
    await one.trusted()
    nowMs = 999
    expect(one.channel.trusted).toBe(true)
    nowMs = 1_000
    expect(one.channel.trusted).toBe(false)
  })

  test('it lapses when the master refuses the heartbeat for want of replicas, and comes back', async () => {
    await using one = openChannel({ url: server.url, service: 'poor' })
    await one.trusted()
    const raw = server.client()
    await raw.config('SET', 'min-replicas-to-write', '1')
    try {
      await eventually(() => expect(one.channel.trusted).toBe(false), { withinMs: 3_000 })
      await eventually(() => expect(one.trust.at(-1)).toBe(false))
      expect((await one.say('word')).outcome).toBe('deferred')
    } finally {
      await raw.config('SET', 'min-replicas-to-write', '0')
    }
    await one.trusted()
    expect(one.trust.at(-1)).toBe(true)
    expect(one.heard).toContain('word')
  })

  test('it lapses while the master is frozen, and comes back', async () => {
    await using one = openChannel({ url: server.url, service: 'frozen' })
    await one.trusted()
    server.freeze()
    try {
      await eventually(() => expect(one.channel.trusted).toBe(false), { withinMs: 3_000 })
    } finally {
      server.thaw()
    }
    await one.trusted()
  })

  test('a process that stood still does not trust what it proved before', async () => {
    await using one = openChannel({ url: server.url, service: 'still' })
    await one.trusted()
    standStill(1_100)
    expect(one.channel.trusted).toBe(false)
    await one.trusted()
  })

  test('an answer that came while the process stood still is no failure', async () => {
    await using one = openChannel({ url: server.url, service: 'answered' })
    await sayApplied(one, 'first')
    await one.trusted()
    const saying = one.say('word')
    standStill(300)
    expect((await saying).outcome).toBe('applied')
  })

  test('closed, it is trusted no more, not even by an answer that was under way', async () => {
    await using proxy = await startProxy(server)
    await using one = openChannel({
      url: `redis://127.0.0.1:${proxy.port}`,
      service: 'closed',
      subscriberUrl: server.url,
    })
    await one.trusted()
    proxy.slow(50)
    const asked = one.trust.length
    one.shard.look()
    one.channel.close()
    expect(one.channel.trusted).toBe(false)
    proxy.slow(0)
    await one.redis.ping()
    await one.redis.ping()
    expect(one.channel.trusted).toBe(false)
    expect(one.trust.slice(asked)).toEqual([false])
  })
})

describe('C23 the circuit', () => {
  test('silence opens it after three calls; then none waits, and a heartbeat closes it', async () => {
    await using one = openChannel({ url: server.url, service: 'circuit' })
    await one.trusted()
    server.freeze()
    try {
      for (let call = 0; call < 3; call++) expect((await one.say('x')).outcome).toBe('deferred')
      expect(one.shard.available).toBe(false)
      const started = performance.now()
      for (let call = 0; call < 100; call++) expect((await one.say('x')).outcome).toBe('deferred')
      expect(performance.now() - started).toBeLessThan(90)
    } finally {
      server.thaw()
    }
    await one.trusted()
    expect(one.shard.available).toBe(true)
    expect(one.heard).toContain('x')
  })

  test('a Redis that answers heartbeats, but too late for callers, is not asked again and again', async () => {
    await using proxy = await startProxy(server)
    await using one = openChannel({
      url: `redis://127.0.0.1:${proxy.port}`,
      service: 'in-between',
      closeWithinMs: 60,
    })
    await one.trusted()
    proxy.slow(40)
    const beats = async (count: number) => {
      for (let beat = 0; beat < count; beat++) {
        const before = one.shard.lastProofMs
        await eventually(() => expect(one.shard.lastProofMs).toBeGreaterThan(before))
      }
    }
    await beats(1)
    for (let call = 0; call < 3; call++) one.shard.circuit.failed(new Error('no answer in time'))
    await beats(3)
    expect(one.shard.available).toBe(false)
    await proxy.heal()
    await eventually(() => expect(one.shard.available).toBe(true))
  })

  test('a Redis that is merely slow is not asked by callers, and its invalidations arrive', async () => {
    await using proxy = await startProxy(server)
    await using one = openChannel({
      url: `redis://127.0.0.1:${proxy.port}`,
      service: 'slow',
    })
    await one.trusted()
    proxy.slow(100)
    await eventually(() => expect(one.shard.available).toBe(false))
    await one.say('word')
    await proxy.heal()
    await one.trusted()
    await eventually(() => expect(one.heard).toContain('word'))
  })
})
