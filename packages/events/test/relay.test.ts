import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { sql, type Transaction } from 'kysely'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { appendEvents, startRelay, type RelayOptions } from '../src/index.ts'
import { Registry } from 'prom-client'
import {
  append,
  connect,
  environment,
  firstAppearances,
  recordingLog,
  startEventDatabase,
  streamEvents,
  succeeded,
  upTo,
  type Tables,
  soon,
} from './support.ts'

describe('E1: the relay', { timeout: 120_000 }, () => {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ group: 'state' })
  })
  afterAll(() => server.stop())

  /** A database and an empty stream, with as many relays as are started. */
  async function start() {
    const db = await startEventDatabase()
    const redis = await connect(server.url, 'relay-test')
    const client = server.client()
    await client.flushall()
    const relays: ReturnType<typeof startRelay>[] = []
    const relay = (options: Partial<RelayOptions> = {}) => {
      const settings = { databaseUrl: db.url, redis, environment, service: 'payment', replicas: 0 }
      const started = startRelay({ ...settings, ...options })
      relays.push(started)
      return started
    }
    onTestFinished(async () => {
      await Promise.all(relays.map((one) => one.stop()))
      await redis.close()
      await db.close()
    })
    const events = () => streamEvents(client)
    const waiting = async () =>
      Number((await db.query('select count(*) from outbox where sent_at is null'))[0]?.['count'])
    return { db, redis, client, relay, events, waiting }
  }

  test('a late commit with a lower id is not skipped', async () => {
    const { db, relay, events, waiting } = await start()
    relay()
    const held = Promise.withResolvers<void>()
    const appended = Promise.withResolvers<void>()
    const late = db.pool.transaction(async (trx) => {
      await appendEvents(trx, [succeeded('late')])
      appended.resolve()
      await held.promise
    })
    await appended.promise
    await append(db.pool, 'early', 'early')
    await soon(async () => expect(await waiting()).toBe(0))
    held.resolve()
    await late
    await soon(async () => {
      const subjects = (await events()).map(({ subject }) => subject)
      expect(subjects).toEqual(['early', 'early', 'late'])
    })
  })

  test('a subject stays in order when its later writer has the lower transaction id', async () => {
    const { db, relay, events } = await start()
    /** A transaction with an id, that goes on when it is told to. */
    const begin = async (then: (trx: Transaction<Tables>) => Promise<unknown> = async () => {}) => {
      const begun = Promise.withResolvers<void>()
      const go = Promise.withResolvers<void>()
      const ended = db.pool.transaction(async (trx) => {
        await sql`select pg_current_xact_id()`.execute(trx)
        begun.resolve()
        await go.promise
        await then(trx)
      })
      await begun.promise
      return async () => {
        go.resolve()
        await ended
      }
    }
    const writeSecond = await begin((trx) => appendEvents(trx, [succeeded('s')]))
    const unrelated = await begin()
    await append(db.pool, 's')
    await writeSecond()
    // Who reads only below the oldest running transaction, the unrelated one, sees version 2 and not version 1.
    relay()
    await soon(async () => expect((await events()).map(({ version }) => version)).toEqual([1, 2]))
    await unrelated()
  })

  test('each subject comes in the order of its versions, from 20 concurrent writers', async () => {
    const { db, relay, events, waiting } = await start()
    relay()
    relay()
    const subjects = upTo(7).map((n) => `s${n}`)
    const writers = upTo(20).map(async (writer) => {
      for (let i = 0; i < 25; i += 1) await append(db.pool, subjects[(writer + i * 3) % 7] ?? '')
    })
    await Promise.all(writers)
    await soon(async () => expect(await waiting()).toBe(0))
    const sent = await events()
    expect(sent).toHaveLength(500)
    for (const [subject, versions] of firstAppearances(sent)) {
      const count = sent.filter((event) => event.subject === subject).length
      expect(versions).toEqual(upTo(count))
    }
  })

  test('of two relays one is active; when it stops the other goes on', async () => {
    const { db, relay, events } = await start()
    const relays = [relay(), relay()]
    const active = () => relays.filter((one) => one.active)
    await soon(() => expect(active()).toHaveLength(1))
    await append(db.pool, 'a')
    await soon(async () => expect(await events()).toHaveLength(1))
    const [first] = active()
    await first?.stop()
    await soon(() => expect(active()).toHaveLength(1))
    await append(db.pool, 'a')
    await soon(async () => {
      expect((await events()).map(({ version }) => version)).toEqual([1, 2])
    })
  })

  test('a relay whose database session is ended loses its place and goes on', async () => {
    const { db, relay, events } = await start()
    relay()
    for (const n of upTo(5)) {
      await append(db.pool, 'a')
      await soon(async () => expect(firstAppearances(await events()).get('a')).toEqual(upTo(n)))
      await sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'payment:event-relay'
      `.execute(db.pool.kysely)
    }
    await append(db.pool, 'a')
    await soon(async () => expect(firstAppearances(await events()).get('a')).toEqual(upTo(6)))
  })

  test('while Redis is away events wait, and it is said once; then they come', async () => {
    const { db, relay, events, waiting } = await start()
    const log = recordingLog()
    relay({ log })
    await append(db.pool, 'a')
    await soon(async () => expect(await waiting()).toBe(0))
    await server.kill()
    for (let i = 0; i < 50; i += 1) await append(db.pool, 'a')
    await soon(() => expect(log.lines.some(({ message }) => message.includes('fails'))).toBe(true))
    expect(await waiting()).toBe(50)
    await server.restart()
    await soon(async () => expect(await waiting()).toBe(0))
    expect(firstAppearances(await events()).get('a')).toEqual(upTo(51))
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
    expect(log.lines.filter(({ message }) => message.includes('works again'))).toHaveLength(1)
  })

  test('after FLUSHALL everything that is kept comes again, before anything new', async () => {
    const { db, client, relay, events, waiting } = await start()
    relay()
    for (let i = 0; i < 20; i += 1) await append(db.pool, 'a', 'b')
    await soon(async () => expect(await waiting()).toBe(0))
    await db.query(`update outbox set sent_at = sent_at - interval '1 hour' where version <= 10`)
    await client.flushall()
    await append(db.pool, 'a')
    await soon(async () => {
      const versions = firstAppearances(await events())
      expect(versions.get('a')).toEqual(upTo(21))
      expect(versions.get('b')).toEqual(upTo(20))
    })
  })

  test('nothing counts as sent while no replica has it, and it is not appended over and over', async () => {
    const { db, relay, events, waiting } = await start()
    const log = recordingLog()
    relay({ replicas: 1, log })
    await append(db.pool, 'a')
    await soon(() => expect(log.lines.some(({ level }) => level === 'warn')).toBe(true))
    await expect(soon(async () => expect(await waiting()).toBe(0), 2_500)).rejects.toThrow()
    expect(await events()).toHaveLength(1)
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
  })

  test('the backlog is a metric', async () => {
    const { db, relay } = await start()
    await append(db.pool, 'a', 'a', 'b')
    const registry = new Registry()
    relay({ replicas: 1, registry })
    await soon(async () => {
      expect(await registry.metrics()).toContain(
        'wattle_events_outbox_pending{service="payment"} 3',
      )
    })
  })

  test('sent rows leave the outbox after the retention, waiting ones never', async () => {
    const { db, relay, waiting } = await start()
    relay({ repeatMs: 100, retentionMs: 200 })
    await append(db.pool, 'a', 'b')
    await soon(async () => {
      expect(await db.query('select 1 from outbox')).toHaveLength(0)
    })
    expect(await waiting()).toBe(0)
    // The subject's sequence goes on.
    const [event] = await append(db.pool, 'a')
    expect(event?.version).toBe(2)
  })
})
