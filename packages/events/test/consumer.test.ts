import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '@wattle/contracts'
import { Registry } from 'prom-client'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { note, startConsuming } from './consuming.ts'
import { append, paymentStream, soon, upTo } from './support.ts'

describe('E2: the consumer', { timeout: 120_000 }, () => {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ group: 'state' })
  })
  afterAll(() => server.stop())

  test('each event has its effect once, in the order of its subject, and is acknowledged', async () => {
    const { db, consumer, relay, effects, pending } = await startConsuming(server)
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
    const { consumer, effects, pending, raw } = await startConsuming(server)
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
    const { db, consumer, relay, effects } = await startConsuming(server)
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
    const { db, consumer, relay, effects } = await startConsuming(server)
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
    const { consumer, effects, raw, client } = await startConsuming(server)
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

  test('events of a type without a handler are passed over, counted, and keep the sequence', async () => {
    const { consumer, effects, pending, raw } = await startConsuming(server)
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

  test('copies that are full of later events still take the earlier ones that a dead copy left', async () => {
    const { client, consumer, effects, raw } = await startConsuming(server)
    await client.xgroup('CREATE', paymentStream, 'billing', '0', 'MKSTREAM')
    const subjects = upTo(6).map((n) => `s${n}`)
    for (const subject of subjects) await raw({ subject, version: 1 })
    await client.xreadgroup('GROUP', 'billing', 'dead', 'STREAMS', paymentStream, '>')
    for (const version of upTo(20)) {
      if (version > 1) for (const subject of subjects) await raw({ subject, version })
    }
    // Its last sign of life: by the time it counts as dead the others are full.
    const ids = (await client.xrange(paymentStream, '-', '+', 'COUNT', 6)).map(([id]) => id)
    await client.call('XCLAIM', paymentStream, 'billing', 'dead', 0, ...ids, 'JUSTID')
    consumer({ maxInHand: 2, claimAfterMs: 1_500 })
    consumer({ maxInHand: 2, claimAfterMs: 1_500 })
    await soon(async () => expect(await effects()).toHaveLength(120))
  })

  test('a subject that fails holds up no other, even with more events than there is room for', async () => {
    const { consumer, effects, raw } = await startConsuming(server)
    consumer({
      maxInHand: 5,
      handlers: {
        'payment.succeeded': async (event, trx) => {
          if (event.subject === 'bad') throw new Error('broken')
          await note(event, trx)
        },
      },
      retry: { baseMs: 60_000 },
    })
    for (const version of upTo(20)) await raw({ subject: 'bad', version })
    for (const version of upTo(20)) await raw({ subject: 'good', version })
    await soon(async () => expect(await effects()).toEqual(upTo(20).map((n) => `good:${n}`)))
  })

  test('a flood of repetitions is looked up together, and its hooks run all the same', async () => {
    const { db, consumer, effects, raw } = await startConsuming(server)
    let transactions = 0
    const database: typeof db.pool = {
      ...db.pool,
      transaction: (...args) => {
        transactions += 1
        return db.pool.transaction(...args)
      },
    }
    const hooks: string[] = []
    const afterCommit = { 'payment.succeeded': async ({ id }: { id: string }) => hooks.push(id) }
    consumer({ database, afterCommit })
    const ids = upTo(300).map(() => newId('evt'))
    const sendAll = () => Promise.all(ids.map((id, n) => raw({ subject: `s${n}`, id })))
    await sendAll()
    await soon(() => expect(hooks).toHaveLength(300))
    expect(transactions).toBe(300)
    await sendAll()
    await soon(() => expect(hooks).toHaveLength(600))
    expect(await effects()).toHaveLength(300)
    expect(transactions).toBeLessThan(600)
    expect(new Set(hooks)).toEqual(new Set(ids))
  })

  test('a consumer that came late takes a subject up where it finds it', async () => {
    const { consumer, effects, raw } = await startConsuming(server)
    consumer({ history: 'partial' })
    await raw({ subject: 'old', version: 7 })
    await raw({ subject: 'old', version: 8 })
    await soon(async () => expect(await effects()).toEqual(['old:7', 'old:8']))
  })

  test('afterCommit comes after the commit, before the acknowledgment, and again when it failed', async () => {
    const { db, consumer, relay, pending, effects } = await startConsuming(server)
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
    const { db, consumer, relay, effects } = await startConsuming(server)
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
})
