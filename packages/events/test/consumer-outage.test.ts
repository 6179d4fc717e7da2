import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { note, startConsuming } from './consuming.ts'
import { append, recordingLog, soon } from './support.ts'

describe('E2: the consumer, when something is away', { timeout: 120_000 }, () => {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ group: 'state' })
  })
  afterAll(() => server.stop())

  test('after FLUSHALL the group is made anew, and nothing has its effect twice', async () => {
    const { db, client, consumer, relay, effects } = await startConsuming(server)
    relay()
    consumer()
    await append(db.pool, 'a', 'a')
    await soon(async () => expect(await effects()).toHaveLength(2))
    await client.flushall()
    await append(db.pool, 'a')
    await soon(async () => expect(await effects()).toEqual(['a:1', 'a:2', 'a:3']))
  })

  test('while Redis is away it waits, says so once, and goes on by itself', async () => {
    const { db, consumer, relay, effects } = await startConsuming(server)
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
    const { db, consumer, effects, raw } = await startConsuming(server)
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
    const { consumer, effects, raw } = await startConsuming(server)
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
})
