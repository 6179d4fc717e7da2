import { newId, type WattleEvent } from '@wattle/contracts'
import type { TestRedis } from '@wattle/testkit'
import { sql, type Transaction } from 'kysely'
import { onTestFinished } from 'vitest'
import { consume, startRelay, type ConsumeOptions } from '../src/index.ts'
import {
  connect,
  environment,
  paymentStream,
  startEventDatabase,
  succeeded,
  type Tables,
} from './support.ts'

type Event = WattleEvent<'payment.succeeded'>

/** The handler of most tests: its effect is a row. */
export const note = async ({ id, subject, version }: Event, trx: Transaction<Tables>) => {
  const values = sql`(${id}, ${subject}, ${version})`
  await sql`insert into effects (event_id, subject, version) values ${values}`.execute(trx)
}

/** A database, an empty stream, and relays and consumers on them, all gone at the end of the test. */
export async function startConsuming(server: TestRedis) {
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
