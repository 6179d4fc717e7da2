import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { newId, type WattleEvent } from '@wattle/contracts'
import { sql, type Transaction } from 'kysely'
import { Registry } from 'prom-client'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { consume, startRelay, type ConsumeOptions } from '../src/index.ts'
import {
  append,
  connect,
  environment,
  paymentStream,
  recordingLog,
  startEventDatabase,
  succeeded,
  upTo,
  type Tables,
  soon,
} from './support.ts'

type Event = WattleEvent<'payment.succeeded'>

const note = async ({ id, subject, version }: Event, trx: Transaction<Tables>) => {
  await sql`insert into effects (event_id, subject, version) values (${id}, ${subject}, ${version})`.execute(
    trx,
  )
}

describe('E2: the consumer', { timeout: 60_000 }, () => {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ group: 'state' })
  })
  afterAll(() => server.stop())

  async function start() {
    const db = await startEventDatabase()
    const redis = await connect(server.url, 'consumer-test')
    const client = server.client()
    await client.flushall()
    const running: { stop(): Promise<void> }[] = []
    const options = { redis, environment, streams: ['payment'], group: 'billing' }
    const consumer = (more: Partial<ConsumeOptions<Tables>> = {}) => {
      const handlers = { 'payment.succeeded': note }
      const quick = { blockMs: 100, claimAfterMs: 600 }
      const started = consume({ ...options, ...quick, database: db.pool, handlers, ...more })
      running.push(started)
      return started
    }
    const relay = () => {
      const settings = {
        ...options,
        databaseUrl: db.url,
        service: 'payment',
        replicas: 0,
        pollMs: 20,
      }
      running.push(startRelay(settings))
    }
    onTestFinished(async () => {
      await Promise.all(running.map((one) => one.stop()))
      await redis.close()
      await db.close()
    })
    const effects = async () => {
      const rows = await db.query('select subject, version from effects order by position')
      return rows.map(({ subject, version }) => `${String(subject)}:${String(version)}`)
    }
    const pending = async (group = 'billing') => {
      const [count] = (await client.xpending(paymentStream, group)) as [number]
      return count
    }
    /** An entry that no relay wrote. */
    const raw = (event: Partial<Record<keyof Event | 'format', string | number>>) => {
      const { payload, ...rest } = succeeded('raw')
      const envelope = {
        format: 1,
        id: newId('evt'),
        version: 1,
        occurredAt: new Date().toISOString(),
      }
      const fields = { ...envelope, ...rest, payload: JSON.stringify(payload), ...event }
      return client.xadd(paymentStream, '*', ...Object.entries(fields).flat())
    }
    return { db, redis, client, consumer, relay, effects, pending, raw }
  }

  test('each event has its effect once, in the order of its subject, and is acknowledged', async () => {
    const { db, consumer, relay, effects, pending } = await start()
    relay()
    consumer()
    consumer()
    const writers = upTo(5).map(async (n) => {
      for (let i = 0; i < 40; i += 1) await append(db.pool, `s${n}`)
    })
    await Promise.all(writers)
    await soon(async () => expect(await effects()).toHaveLength(200))
    const all = await effects()
    for (const n of upTo(5)) {
      const own = all.filter((effect) => effect.startsWith(`s${n}:`))
      expect(own).toEqual(upTo(40).map((version) => `s${n}:${version}`))
    }
    await soon(async () => expect(await pending()).toBe(0))
  })

  test('an event that comes again, or an older version, has no effect', async () => {
    const { consumer, effects, pending, raw } = await start()
    consumer()
    const id = newId('evt')
    await raw({ subject: 'a', version: 1, id })
    await raw({ subject: 'a', version: 2 })
    await raw({ subject: 'a', version: 1, id })
    await raw({ subject: 'a', version: 2 })
    await raw({ subject: 'a', version: 3 })
    await soon(async () => expect(await effects()).toContain('a:3'))
    await soon(async () => expect(await pending()).toBe(0))
    expect(await effects()).toEqual(['a:1', 'a:2', 'a:3'])
  })

  test('the effect of a handler that fails is not there, and the retry brings it once', async () => {
    const { db, consumer, relay, effects } = await start()
    relay()
    let attempts = 0
    consumer({
      handlers: {
        'payment.succeeded': async (event, trx) => {
          await note(event, trx)
          attempts += 1
          if (attempts < 4) throw new Error('not yet')
        },
      },
      retry: { baseMs: 10 },
    })
    await append(db.pool, 'a')
    await soon(async () => expect(await effects()).toEqual(['a:1']))
    expect(attempts).toBe(4)
  })

  test('a retry holds up the later events of its subject, and no other subject', async () => {
    const { db, consumer, relay, effects } = await start()
    relay()
    let broken = true
    consumer({
      concurrency: 2,
      handlers: {
        'payment.succeeded': async (event, trx) => {
          if (broken && event.subject.startsWith('bad')) throw new Error('broken')
          await note(event, trx)
        },
      },
      retry: { baseMs: 50, longestMs: 100, maxAttempts: 1_000 },
    })
    await append(db.pool, ...upTo(10).flatMap((n) => [`bad${n}`, `bad${n}`]))
    for (let i = 0; i < 20; i += 1) await append(db.pool, 'good')
    await soon(async () => expect(await effects()).toEqual(upTo(20).map((n) => `good:${n}`)))
    broken = false
    await soon(async () => expect(await effects()).toHaveLength(40))
    const bad3 = (await effects()).filter((effect) => effect.startsWith('bad3:'))
    expect(bad3).toEqual(['bad3:1', 'bad3:2'])
  })

  test('a later version that reaches another copy first waits for the earlier one', async () => {
    const { consumer, effects, raw, client } = await start()
    // Version 1 lies with a consumer that is slow to come back.
    await client.xgroup('CREATE', paymentStream, 'billing', '0', 'MKSTREAM')
    await raw({ subject: 'a', version: 1 })
    await client.xreadgroup('GROUP', 'billing', 'slow', 'COUNT', 1, 'STREAMS', paymentStream, '>')
    await raw({ subject: 'a', version: 2 })
    await raw({ subject: 'b', version: 1 })
    consumer({ claimAfterMs: 1_500, history: 'partial' })
    await soon(async () => expect(await effects()).toEqual(['b:1']))
    await soon(async () => expect(await effects()).toEqual(['b:1', 'a:1', 'a:2']))
  })

  test('after the last attempt an event is a dead letter with its cause, and its subject waits behind it', async () => {
    const { db, consumer, relay, effects, pending } = await start()
    relay()
    const log = recordingLog()
    let broken = true
    const { deadLetters } = consumer({
      log,
      handlers: {
        'payment.succeeded': async (event, trx) => {
          if (broken && event.subject === 'a' && event.version === 2) {
            throw new Error('no such bill', { cause: new Error('deeper') })
          }
          await note(event, trx)
        },
      },
      retry: { maxAttempts: 3, baseMs: 10 },
    })
    await append(db.pool, 'a', 'a', 'a', 'b')
    await soon(async () => expect(await deadLetters.list()).toHaveLength(2))
    await append(db.pool, 'a')
    await soon(async () => expect(await deadLetters.list()).toHaveLength(3))
    const letters = await deadLetters.list()
    expect(letters[0]).toMatchObject({
      stream: 'payment',
      subject: 'a',
      version: 2,
      cause: 'failed',
      attempts: 3,
      error: 'no such bill (deeper)',
    })
    expect(letters.slice(1).map(({ cause, version }) => [cause, version])).toEqual([
      ['behind', 3],
      ['behind', 4],
    ])
    expect(await effects()).toEqual(['a:1', 'b:1'])
    await soon(async () => expect(await pending()).toBe(0))
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1)

    // Re-driven too early it fails again; repaired, those behind it follow in order.
    const [first, second] = letters
    if (!first || !second) throw new Error('no letters')
    expect(await deadLetters.redrive(first.id)).toEqual({
      handled: 0,
      stoppedBy: 'no such bill (deeper)',
    })
    expect((await deadLetters.list())[0]).toMatchObject({ attempts: 4 })
    await expect(deadLetters.redrive(second.id)).rejects.toMatchObject({ code: 'VERSION_CONFLICT' })
    broken = false
    expect(await deadLetters.redrive(first.id)).toEqual({ handled: 3 })
    expect(await effects()).toEqual(['a:1', 'b:1', 'a:2', 'a:3', 'a:4'])
    expect(await deadLetters.list()).toEqual([])
    await expect(deadLetters.redrive(first.id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await append(db.pool, 'a')
    await soon(async () => expect(await effects()).toContain('a:5'))
  })

  test('a discarded dead letter is passed over, and those behind it go on', async () => {
    const { db, consumer, relay, effects } = await start()
    relay()
    const { deadLetters } = consumer({
      handlers: {
        'payment.succeeded': async (event, trx) => {
          if (event.version === 1) throw new Error('never')
          await note(event, trx)
        },
      },
      retry: { maxAttempts: 1 },
    })
    await append(db.pool, 'a', 'a')
    await soon(async () => expect(await deadLetters.list()).toHaveLength(2))
    const [first] = await deadLetters.list()
    expect(await deadLetters.discard(first?.id ?? 0, 'test')).toEqual({ handled: 1 })
    expect(await effects()).toEqual(['a:2'])
  })

  test('what is no event as agreed goes to the dead letters at once, without an attempt', async () => {
    const { client, consumer, effects, pending, raw } = await start()
    let calls = 0
    const { deadLetters } = consumer({
      handlers: {
        'payment.succeeded': async (event, trx) => {
          calls += 1
          await note(event, trx)
        },
      },
    })
    await client.xadd(paymentStream, '*', 'nonsense', '\u0000\uffff')
    await raw({ format: 2 })
    await raw({ payload: '{broken', subject: 'p' })
    await raw({ payload: '{"amountMinor":1}', subject: 'q' })
    await raw({ version: 'seven' })
    await raw({ subject: 'fine' })
    await soon(async () => expect(await deadLetters.list()).toHaveLength(5))
    await soon(async () => expect(await pending()).toBe(0))
    expect(await effects()).toEqual(['fine:1'])
    expect(calls).toBe(1)
    const letters = await deadLetters.list()
    expect(new Set(letters.map(({ cause }) => cause))).toEqual(new Set(['invalid']))
    expect(letters.map(({ subject }) => subject).toSorted()).toEqual(
      [null, null, null, 'p', 'q'].toSorted(),
    )
    expect(letters.map(({ error }) => error).join('\n')).toMatch(/format 2 is not known/)
    const unreadable = letters.find(({ subject }) => subject === null)
    expect((await deadLetters.redrive(unreadable?.id ?? 0)).stoppedBy).toBeDefined()
    await deadLetters.discard(unreadable?.id ?? 0, 'test')
    expect(await deadLetters.list()).toHaveLength(4)
  })

  test('events of a type without a handler are passed over, counted, and keep the sequence', async () => {
    const { consumer, effects, pending, raw } = await start()
    const registry = new Registry()
    consumer({ registry })
    await raw({ subject: 'a', version: 1, type: 'payment.invented' })
    await raw({ subject: 'a', version: 2 })
    await soon(async () => expect(await effects()).toEqual(['a:2']))
    await soon(async () => expect(await pending()).toBe(0))
    expect(await registry.metrics()).toMatch(
      /wattle_events_handled_total\{.*outcome="unknown_type".*\} 1/,
    )
  })

  test('an event whose predecessor never comes is held back and then a dead letter; by order it is handled', async () => {
    const { consumer, effects, raw } = await start()
    const { deadLetters } = consumer({ retry: { maxAttempts: 4, baseMs: 20 } })
    await raw({ subject: 'a', version: 1 })
    await raw({ subject: 'a', version: 4 })
    await soon(async () => expect(await deadLetters.list()).toHaveLength(1))
    const [letter] = await deadLetters.list()
    expect(letter).toMatchObject({ cause: 'gap', version: 4 })
    expect(await deadLetters.redrive(letter?.id ?? 0)).toMatchObject({ handled: 0 })
    // The missing ones turn up after all: the dead letter follows by itself.
    await raw({ subject: 'a', version: 2 })
    await raw({ subject: 'a', version: 3 })
    await soon(async () => expect(await effects()).toEqual(['a:1', 'a:2', 'a:3', 'a:4']))
    expect(await deadLetters.list()).toEqual([])

    await raw({ subject: 'b', version: 3 })
    await soon(async () => expect(await deadLetters.list()).toHaveLength(1))
    const [other] = await deadLetters.list()
    expect(await deadLetters.redrive(other?.id ?? 0, { skipMissing: true })).toEqual({ handled: 1 })
  })

  test('a consumer that came late takes a subject up where it finds it', async () => {
    const { consumer, effects, raw } = await start()
    consumer({ history: 'partial' })
    await raw({ subject: 'old', version: 7 })
    await raw({ subject: 'old', version: 8 })
    await soon(async () => expect(await effects()).toEqual(['old:7', 'old:8']))
  })

  test('afterCommit comes after the commit, before the acknowledgment, and again when it failed', async () => {
    const { db, consumer, relay, pending, effects } = await start()
    relay()
    const seen: string[][] = []
    consumer({
      retry: { baseMs: 10 },
      afterCommit: {
        'payment.succeeded': async () => {
          seen.push([...(await effects()), `${await pending()} pending`])
          if (seen.length === 1) throw new Error('the cache is away')
        },
      },
    })
    await append(db.pool, 'a')
    await soon(() => expect(seen).toHaveLength(2))
    await soon(async () => expect(await pending()).toBe(0))
    expect(seen).toEqual([
      ['a:1', '1 pending'],
      ['a:1', '1 pending'],
    ])
  })

  test('a handler that hangs is given up after its time, and its late writes do nothing', async () => {
    const { db, consumer, relay, effects } = await start()
    relay()
    const late: string[] = []
    const givenUp = Promise.withResolvers<void>()
    let calls = 0
    consumer({
      handlerTimeoutMs: 200,
      retry: { baseMs: 10 },
      handlers: {
        'payment.succeeded': async (event, trx) => {
          calls += 1
          if (calls === 1) {
            await givenUp.promise
            late.push(
              await note(event, trx).then(
                () => 'written',
                () => 'refused',
              ),
            )
            return
          }
          await note(event, trx)
        },
      },
    })
    await append(db.pool, 'a')
    await soon(async () => expect(await effects()).toEqual(['a:1']))
    givenUp.resolve()
    await soon(() => expect(late).toEqual(['refused']))
    expect(await effects()).toEqual(['a:1'])
  })

  test('after FLUSHALL the group is made anew, and nothing has its effect twice', async () => {
    const { db, client, consumer, relay, effects } = await start()
    relay()
    consumer()
    await append(db.pool, 'a', 'a')
    await soon(async () => expect(await effects()).toHaveLength(2))
    await client.flushall()
    await append(db.pool, 'a')
    await soon(async () => expect(await effects()).toEqual(['a:1', 'a:2', 'a:3']))
  })

  test('while Redis is away it waits, says so once, and goes on by itself', async () => {
    const { db, consumer, relay, effects } = await start()
    const log = recordingLog()
    relay()
    consumer({ log })
    await append(db.pool, 'a')
    await soon(async () => expect(await effects()).toHaveLength(1))
    await server.kill()
    onTestFinished(() => server.restart())
    await append(db.pool, 'a')
    await soon(() => expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1))
    await server.restart()
    await soon(async () => expect(await effects()).toEqual(['a:1', 'a:2']))
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info'])
  })

  test('while the database is away no attempt is counted and nothing goes to the dead letters', async () => {
    const { db, consumer, effects, raw } = await start()
    const log = recordingLog()
    let failures = 0
    const health = (timeoutMs: number) => {
      failures += 1
      return db.pool.health(timeoutMs)
    }
    const retry = { maxAttempts: 2, baseMs: 10 }
    const { deadLetters } = consumer({ log, database: { ...db.pool, health }, retry })
    await raw({ subject: 'a', version: 1 })
    await soon(async () => expect(await effects()).toHaveLength(1))
    await db.refuse()
    onTestFinished(() => db.allow())
    await raw({ subject: 'a', version: 2 })
    await soon(() => expect(failures).toBeGreaterThan(4))
    expect(log.lines).toHaveLength(1)
    await db.allow()
    await soon(async () => expect(await effects()).toEqual(['a:1', 'a:2']))
    expect(await deadLetters.list()).toEqual([])
  })

  test('a stop lets the running handler end, and another copy takes the rest at once', async () => {
    const { consumer, effects, raw } = await start()
    const entered = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    const first = consumer({
      concurrency: 1,
      claimAfterMs: 60_000,
      handlers: {
        'payment.succeeded': async (event, trx) => {
          entered.resolve()
          await go.promise
          await note(event, trx)
        },
      },
    })
    for (const version of [1, 2, 3]) await raw({ subject: 'a', version })
    await entered.promise
    const stopped = first.stop()
    go.resolve()
    await stopped
    expect(await effects()).toEqual(['a:1'])
    consumer({ claimAfterMs: 60_000 })
    await soon(async () => expect(await effects()).toEqual(['a:1', 'a:2', 'a:3']))
  })

  test('lag and dead letters are metrics', async () => {
    const { consumer, raw } = await start()
    const registry = new Registry()
    consumer({
      registry,
      handlers: { 'payment.succeeded': () => Promise.reject(new Error('no')) },
      retry: { maxAttempts: 1 },
    })
    await raw({ subject: 'a', version: 1 })
    await raw({ subject: 'a', version: 2 })
    await soon(async () => {
      const text = await registry.metrics()
      expect(text).toContain('wattle_events_dead_letters{stream="payment",group="billing"} 2')
      expect(text).toContain('wattle_events_lag{stream="payment",group="billing"} 0')
    })
  })
})
