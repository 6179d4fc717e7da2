import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Registry } from 'prom-client'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { note, startConsuming } from './consuming.ts'
import { append, paymentStream, recordingLog, soon } from './support.ts'

describe('E2: dead letters', { timeout: 120_000 }, () => {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ group: 'state' })
  })
  afterAll(() => server.stop())

  test('after the last attempt an event is a dead letter with its cause, and its subject waits behind it', async () => {
    const { db, consumer, relay, effects, pending } = await startConsuming(server)
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
    const { db, consumer, relay, effects } = await startConsuming(server)
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
    const { client, consumer, effects, pending, raw } = await startConsuming(server)
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

  test('an event whose predecessor never comes is held back and then a dead letter; by order it is handled', async () => {
    const { consumer, effects, raw } = await startConsuming(server)
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

  test('lag and dead letters are metrics', async () => {
    const { consumer, raw } = await startConsuming(server)
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
