import { startRedis } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { PendingUnknownError, WriteRefusedError } from '../src/index.ts'
import {
  endWrites,
  expectNothingWaits,
  holdWrites,
  row,
  soon,
  test,
  textOf,
} from './write-behind-setup.ts'
const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })

describe('C5 write-behind: a source that refuses', { timeout: 60_000 }, () => {
  test('a change that the source refuses is tried again, and holds up no other', async ({
    writer,
    source,
  }) => {
    const one = await writer({ retry: { baseMs: 10 } })
    let failures = 0
    source.before = async (changes) => {
      if (changes.some(({ key }) => key === 'bad') && failures++ < 4) throw new Error('not yet')
    }
    await Promise.all(['a', 'bad', 'b'].map((id) => one.writes.put(id, row(id, 1))))
    await soon(() => expect([...source.rows.keys()].toSorted()).toEqual(['a', 'b', 'bad']))
    await expectNothingWaits(one)
    expect(await one.writes.deadLetters.list()).toEqual([])
  })

  test('however much the source refuses, others are written meanwhile', async ({
    writer,
    source,
  }) => {
    const one = await writer({
      batchSize: 2,
      maxDeadLetters: 1,
      retry: { baseMs: 5, maxAttempts: 2 },
    })
    source.before = async (changes) => {
      if (changes.some(({ key }) => textOf(key).startsWith('bad'))) throw new Error('no')
    }
    const bad = Array.from({ length: 100 }, (_, at) => `bad${at}`)
    await Promise.all(bad.map((id) => one.writes.put(id, row(id, 1))))
    await soon(() => expect(one.writes.statistics().failures).toBeGreaterThan(100))
    await one.writes.put('good', row('good', 1))
    await soon(() => expect(source.rows.get('good')).toEqual(row('good', 1)))
    endWrites(source)
    await expectNothingWaits(one)
    expect(source.rows.size + (await one.writes.backlog()).deadLetters).toBe(101)
  })

  test.for([
    ['never ends', () => new Promise<never>(() => {})],
    [
      'the database cancels each time',
      () => Promise.reject(Object.assign(new Error('canceling statement'), { code: '57014' })),
    ],
  ] as const)(
    'a change whose write %s does not hold up others for ever, and ends among the dead letters',
    async ([, end], { writer, source }) => {
      const retry = { baseMs: 1, maxAttempts: 2 }
      const one = await writer({ batchSize: 10, writeTimeoutMs: 100, retry })
      source.before = async (changes) => {
        if (changes.some(({ key }) => key === 'bad')) await end()
      }
      const ids = Array.from({ length: 30 }, (_, at) => `a${at}`)
      await Promise.all(['bad', ...ids].map((id) => one.writes.put(id, row(id, 1))))
      await soon(() => expect([...source.rows.keys()].toSorted()).toEqual(ids.toSorted()))
      let amount = 1
      await soon(async () => {
        await one.writes.put('a1', row('a1', ++amount))
        expect(await one.writes.deadLetters.list()).toMatchObject([{ key: 'bad', attempts: 2 }])
      })
      await soon(() => expect(source.rows.get('a1')).toEqual(row('a1', amount)))
      expect((await one.writes.backlog()).deadLetters).toBe(1)
    },
  )

  test('nor does it hold up those that were refused with it, though nothing else is put', async ({
    writer,
    source,
  }) => {
    const retry = { baseMs: 0, maxAttempts: 1_000 }
    const one = await writer({ writeTimeoutMs: 100, retry })
    const calls = { bad: 0, good: 0 }
    source.before = async (changes) => {
      const ids = changes.map(({ key }) => textOf(key) as keyof typeof calls)
      for (const id of ids) calls[id]++
      if (ids.includes('bad') && calls.bad > 2) await new Promise<never>(() => {})
      if (ids.includes('bad') || calls.good < 6) throw new Error('no')
    }
    await Promise.all(['bad', 'good'].map((id) => one.writes.put(id, row(id, 1))))
    await soon(() => expect(source.rows.get('good')).toEqual(row('good', 1)))
    expect(await one.writes.deadLetters.list()).toEqual([])
  })

  test('a key that is put again and again while the source refuses it does not fill the stream', async ({
    writer,
    source,
  }) => {
    const one = await writer({ maxChanges: 20 })
    source.before = async (changes) => {
      if (changes.some(({ key }) => key === 'bad')) throw new Error('no')
    }
    for (let amount = 1; amount <= 50; amount++) {
      await one.writes.put('bad', row('bad', amount))
      await soon(async () => expect((await one.writes.backlog()).changes).toBeLessThan(10))
    }
    await soon(async () => expect((await one.writes.backlog()).changes).toBe(1))
    endWrites(source)
    await soon(() => expect(source.rows.get('bad')).toEqual(row('bad', 50)))
    await expectNothingWaits(one)
  })

  test('after the last attempt it lies among the dead letters with its cause, readers see the source again, and an operator can redrive it', async ({
    writer,
    source,
  }) => {
    const one = await writer({ retry: { baseMs: 1, maxAttempts: 3 } })
    source.rows.set('bad', row('bad', 5))
    source.before = async (changes) => {
      if (changes.some(({ key }) => key === 'bad')) throw new Error('amount is negative')
    }
    await Promise.all(['a', 'bad'].map((id) => one.writes.put(id, row(id, -1))))
    await soon(async () => expect(await one.writes.deadLetters.list()).toHaveLength(1))
    const [letter] = await one.writes.deadLetters.list()
    expect(letter).toMatchObject({
      key: 'bad',
      value: row('bad', -1),
      cause: 'amount is negative',
      attempts: 3,
    })
    await soon(async () => expect(await one.get('bad')).toEqual(row('bad', 5)))
    expect(source.rows.get('a')).toEqual(row('a', -1))

    endWrites(source)
    expect(await one.writes.deadLetters.redrive(letter?.id ?? '')).toBe(true)
    await soon(() => expect(source.rows.get('bad')).toEqual(row('bad', -1)))
    expect(await one.get('bad')).toEqual(row('bad', -1))
    expect(await one.writes.deadLetters.list()).toEqual([])
    expect(await one.writes.deadLetters.redrive(letter?.id ?? '')).toBe(false)
  })

  test('when the dead letters are full a refused change stays in the stream: nothing is dropped', async ({
    writer,
    source,
  }) => {
    const one = await writer({
      retry: { baseMs: 1, longestMs: 5, maxAttempts: 2 },
      maxDeadLetters: 1,
    })
    source.before = async (changes) => {
      if (changes.some(({ key }) => textOf(key).startsWith('bad'))) throw new Error('no')
    }
    await one.writes.put('bad1', row('bad1', 1))
    await soon(async () => expect(await one.writes.deadLetters.list()).toHaveLength(1))
    await one.writes.put('bad2', row('bad2', 2))
    await soon(() => expect(one.writes.statistics().failures).toBeGreaterThan(6))
    expect(await one.writes.backlog()).toMatchObject({ changes: 1, keys: 1, deadLetters: 1 })
    await one.cache.invalidate([one.kind.all()])
    expect(await one.get('bad2')).toEqual(row('bad2', 2))
    const [letter] = await one.writes.deadLetters.list()
    expect(await one.writes.deadLetters.discard(letter?.id ?? '')).toBe(true)
    await soon(async () => {
      expect(await one.writes.deadLetters.list()).toMatchObject([{ key: 'bad2' }])
    })
  })

  test('while the source is away nothing is blamed on a change, and all is written when it is back', async ({
    writer,
    source,
  }) => {
    const one = await writer({ retry: { baseMs: 1, maxAttempts: 2 } })
    let tries = 0
    source.before = async () => {
      tries++
      throw away
    }
    await Promise.all(['a', 'b', 'c'].map((id) => one.writes.put(id, row(id, 1))))
    await soon(() => expect(tries).toBeGreaterThan(4))
    expect(await one.get('a')).toEqual(row('a', 1))
    endWrites(source)
    await expectNothingWaits(one)
    expect(source.rows.size).toBe(3)
    expect(one.writes.statistics().dead).toBe(0)
  })

  test.for([
    Object.assign(new Error('cannot execute INSERT in a read-only transaction'), { code: '25006' }),
    Object.assign(new Error('password authentication failed'), { code: '28P01' }),
    new Error('timeout exceeded when trying to connect'),
    new Error('Connection terminated unexpectedly'),
    new Error('Client has encountered a connection error and is not queryable'),
    new Error('Cannot use a pool after calling end on the pool'),
    new TypeError('fetch failed', {
      cause: Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' }),
    }),
    new AggregateError([Object.assign(new Error(), { code: 'ECONNREFUSED' })]),
  ])(
    'a source that cannot be reached is no fault of a change: %s',
    async (cause, { writer, source }) => {
      const one = await writer({ retry: { baseMs: 1, maxAttempts: 1 } })
      let calls = 0
      source.before = async () => {
        if (calls++ < 3) throw cause
      }
      await one.writes.put('a', row('a', 1))
      await soon(() => expect(source.rows.get('a')).toEqual(row('a', 1)))
      expect(await one.writes.deadLetters.list()).toEqual([])
    },
  )

  test('a write that does not end is given up after its time-out and tried again', async ({
    writer,
    source,
  }) => {
    const one = await writer({ writeTimeoutMs: 100 })
    const aborted: boolean[] = []
    source.before = async (_changes, signal) => {
      if (aborted.length > 0) return
      signal.addEventListener('abort', () => aborted.push(true))
      await new Promise<never>(() => {})
    }
    await one.writes.put('a', row('a', 1))
    await soon(() => expect(source.rows.get('a')).toEqual(row('a', 1)))
    expect(aborted).toEqual([true])
  })
})

describe('C5 write-behind: Redis away', { timeout: 60_000 }, () => {
  test('while `state` is frozen a put rejects, a load refuses to guess, and both work again later', async ({
    writer,
    source,
  }) => {
    await using server = await startRedis({ group: 'state' })
    const { cache, kind, get, writes } = await writer({}, server.url)
    await writes.put('a', row('a', 1))
    await soon(() => expect(source.rows.get('a')).toEqual(row('a', 1)))
    server.freeze()
    const put = writes.put('a', row('a', 2))
    await expect(put).rejects.toThrow(WriteRefusedError)
    await expect(put).rejects.toMatchObject({ reason: 'away' })
    await cache.invalidate([kind.all()])
    await expect(get('a')).rejects.toThrow(PendingUnknownError)
    server.thaw()
    await soon(async () => expect(await get('a')).toEqual(source.rows.get('a')))
    await soon(async () => writes.put('a', row('a', 3)))
    await soon(() => expect(source.rows.get('a')).toEqual(row('a', 3)))
    await writes.stop()
  })

  test("with whenStateIsAway: 'source' a load asks the source instead", async ({ writer }) => {
    await using server = await startRedis({ group: 'state' })
    const { get, writes } = await writer({ whenStateIsAway: 'source' }, server.url)
    server.freeze()
    expect(await get('a')).toEqual(row('a', 0))
    server.thaw()
    await writes.stop({ withinMs: 0 })
  })

  test('while `cache` is frozen a put is accepted, and read here; the cache follows', async ({
    writer,
    server,
    source,
  }) => {
    const one = await writer()
    await one.get('a')
    const held = holdWrites(source)
    server.freeze()
    try {
      const { cache } = await one.writes.put('a', row('a', 1))
      expect(cache.outcome).toBe('deferred')
      expect(await one.get('a')).toEqual(row('a', 1))
    } finally {
      server.thaw()
    }
    held.open()
    await expectNothingWaits(one)
    await soon(async () =>
      expect(await one.kind.read('a', () => source.load('a'))).toMatchObject({
        status: 'hit',
        value: row('a', 1),
      }),
    )
  })
})
