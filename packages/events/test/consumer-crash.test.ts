import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { startRelay } from '../src/index.ts'
import { childProcesses } from './children.ts'
import {
  append,
  connect,
  environment,
  paymentStream,
  startEventDatabase,
  upTo,
  soon,
} from './support.ts'

describe('E2: a consumer process that ends', { timeout: 120_000 }, () => {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ group: 'state' })
  })
  afterAll(() => server.stop())

  async function start() {
    const db = await startEventDatabase()
    const redis = await connect(server.url, 'crash-test')
    const client = server.client()
    await client.flushall()
    const children = childProcesses()
    const settings = { databaseUrl: db.url, environment, redisUrl: server.url, claimAfterMs: 1_500 }
    const relay = startRelay({
      databaseUrl: db.url,
      redis,
      environment,
      service: 'payment',
      replicas: 0,
    })
    onTestFinished(async () => {
      await children.endAll()
      await relay.stop()
      await redis.close()
      await db.close()
    })
    const consumer = (more = {}) => children.start('consumer-process', { ...settings, ...more })
    const effects = async (subject: string) => {
      const rows = await db.query(
        'select version from effects where subject = $1 order by position',
        [subject],
      )
      return rows.map(({ version }) => Number(version))
    }
    return { db, client, consumer, effects }
  }

  for (const [name, signal] of [
    ['killed -9', 'SIGKILL'],
    ['frozen', 'SIGSTOP'],
  ] as const) {
    test(`${name} in a handler: another takes over what it had, and each effect is there once`, async () => {
      const { db, client, consumer, effects } = await start()
      const first = consumer({ hangsAt: 'stuck' })
      await append(db.pool, 'stuck')
      await soon(() => expect(first.state).toBe('in the handler'))
      // Its uncommitted effect is nobody's business, and later events wait with it.
      await append(db.pool, 'stuck', 'other')
      await soon(async () => expect(await effects('other')).toEqual([1]))
      expect(await effects('stuck')).toEqual([])
      first.kill(signal)
      consumer()
      await soon(async () => expect(await effects('stuck')).toEqual([1, 2]))
      await soon(async () => expect((await client.xpending(paymentStream, 'billing'))[0]).toBe(0))
      if (signal === 'SIGSTOP') {
        first.kill('SIGCONT')
        await append(db.pool, 'stuck')
        await soon(async () => expect(await effects('stuck')).toEqual([1, 2, 3]))
      }
    })
  }

  test('killed again and again while events flow: each effect once, in order', async () => {
    const { db, consumer, effects } = await start()
    const subjects = upTo(8).map((n) => `s${n}`)
    let [current, other] = [consumer(), consumer()]
    for (let round = 0; round < 4; round += 1) {
      const before = (await effects('s1')).length
      for (let i = 0; i < 15; i += 1) await append(db.pool, ...subjects)
      await soon(async () => expect((await effects('s1')).length).toBeGreaterThan(before))
      current.kill('SIGKILL')
      ;[current, other] = [other, consumer()]
    }
    for (const subject of subjects) {
      await soon(async () => expect(await effects(subject)).toEqual(upTo(60)))
    }
  })
})
