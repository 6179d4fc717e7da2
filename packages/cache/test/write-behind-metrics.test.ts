import { describe, expect } from 'vitest'
import { expectNothingWaits, holdWrites, row, soon, test, textOf } from './write-behind-setup.ts'
const begin = 'wattle_cache_write_behind_'

/** The figures of a text for Prometheus, by their names without `wattle_cache_write_behind_`. */
function figuresOf(text: string, name: string) {
  const lines = text.split('\n').filter((line) => line.includes(`name="${name}"`))
  return Object.fromEntries(
    lines
      .filter((line) => line.startsWith(begin) && !line.includes('_bucket{'))
      .map((line) => [line.slice(begin.length, line.indexOf('{')), Number(line.split(' ').at(-1))]),
  )
}

describe('C5 write-behind: metrics', { timeout: 60_000 }, () => {
  test('Prometheus sees what was accepted, refused, coalesced, written, tried again and buried, and what waits', async ({
    writer,
    source,
  }) => {
    const one = await writer({ retry: { baseMs: 1, maxAttempts: 3 }, maxKeys: 3 })
    const scrape = async () => figuresOf(await one.registry.metrics(), 'meters')
    expect(await scrape()).toEqual({
      accepted_total: 0,
      refused_total: 0,
      written_total: 0,
      coalesced_total: 0,
      failures_total: 0,
      retries_total: 0,
      dead_letters_total: 0,
      pending: 0,
      pending_keys: 0,
      oldest_pending_seconds: 0,
      dead_letters_waiting: 0,
    })

    const held = holdWrites(source)
    await one.writes.put('first', row('first', 1))
    await held.begun()
    source.before = async (changes) => {
      if (changes.some(({ key }) => textOf(key) === 'bad')) throw new Error('no')
    }
    for (const amount of [1, 2, 3]) await one.writes.put('a', row('a', amount))
    await one.writes.put('bad', row('bad', 1))
    await expect(one.writes.put('b', row('b', 1))).rejects.toThrow('maxKeys')
    expect(await scrape()).toMatchObject({
      accepted_total: 5,
      refused_total: 1,
      written_total: 0,
      pending: 5,
      pending_keys: 3,
      oldest_pending_seconds: expect.toSatisfy((seconds: number) => seconds > 0 && seconds < 60),
    })

    held.open()
    await expectNothingWaits(one)
    // Written: `first`, and `a` by itself after it failed together with `bad`, which failed twice more by itself.
    expect(await scrape()).toEqual({
      accepted_total: 5,
      refused_total: 1,
      written_total: 2,
      coalesced_total: 2,
      failures_total: 4,
      retries_total: 4,
      dead_letters_total: 1,
      pending: 0,
      pending_keys: 0,
      oldest_pending_seconds: 0,
      dead_letters_waiting: 1,
      batch_seconds_count: 6,
      batch_seconds_sum: expect.any(Number),
    })
    const { failures, retries, dead } = one.writes.statistics()
    expect({ failures, retries, dead }).toEqual({ failures: 4, retries: 4, dead: 1 })
  })

  test('what waits also shows in a process that does not write, and is missing while Redis does not say it', async ({
    writer,
    source,
    stateServer,
  }) => {
    const [one, two] = [await writer(), await writer()]
    const held = holdWrites(source)
    await one.writes.put('a', row('a', 1))
    for (const { registry } of [one, two]) {
      expect(figuresOf(await registry.metrics(), 'meters')).toMatchObject({ pending: 1 })
    }
    stateServer.freeze()
    const unknown = figuresOf(await two.registry.metrics(), 'meters')
    stateServer.thaw()
    expect(unknown).toMatchObject({ accepted_total: 0 })
    expect(unknown).not.toHaveProperty('pending')
    held.open()
    await soon(async () => {
      expect(figuresOf(await two.registry.metrics(), 'meters')).toMatchObject({ pending: 0 })
    })
  })

  test('a cache without write-behind shows nothing of it', async ({ open }) => {
    const { registry } = await open()
    expect(await registry.metrics()).not.toContain(begin)
  })
})
