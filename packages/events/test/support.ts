import { fileURLToPath } from 'node:url'
import { newId } from '@wattle/contracts'
import { migrate, openDatabase, type Database } from '@wattle/database'
import { connectRedis, type Log, type RedisConnection } from '@wattle/redis'
import { eventually, startDatabase, type TestDatabase } from '@wattle/testkit'
import { appendEvents, eventStreamKey, type NewEvent } from '../src/index.ts'

export const environment = 'test'
export const migrations = fileURLToPath(new URL('migrations', import.meta.url))
export const paymentStream = eventStreamKey({ environment, service: 'payment' })

export type Tables = { effects: { event_id: string; subject: string; version: number } }

/** A database with outbox, inbox and effects, and a pool of connections to it. */
export async function startEventDatabase(): Promise<
  TestDatabase & { pool: Database<Tables>; close(): Promise<void> }
> {
  const server = await startDatabase({ service: 'events', migrations, migrate })
  const patience = {
    connectionTimeoutMs: 10_000,
    lockTimeoutMs: 10_000,
    statementTimeoutMs: 15_000,
  }
  const pool = openDatabase<Tables>({ url: server.url, name: 'test', poolSize: 30, ...patience })
  const close = async () => {
    await pool.close()
    await server.drop()
  }
  return { ...server, pool, close }
}

const ids = { paymentId: newId('pay'), userId: newId('usr'), billId: newId('bil') }

export function succeeded(subject: string, amountMinor = 100): NewEvent<'payment.succeeded'> {
  const money = {
    currency: 'NGN',
    amountMinor,
    discountMinor: 0,
    chargedMinor: amountMinor,
  } as const
  const payload = { ...ids, ...money }
  return {
    type: 'payment.succeeded',
    subject,
    payload,
    correlationId: 'req-1',
    causationId: 'req-1',
  }
}

export async function append(pool: Database<Tables>, ...subjects: string[]) {
  return pool.transaction((trx) =>
    appendEvents(
      trx,
      subjects.map((subject) => succeeded(subject)),
    ),
  )
}

export async function connect(url: string, name: string): Promise<RedisConnection> {
  const redis = connectRedis({ url, name })
  if (!(await redis.whenReady(5_000))) throw new Error('no Redis')
  return redis
}

export type StreamEvent = {
  entryId: string
  id: string
  subject: string
  version: number
  type: string
}

/** Everything in the stream, in its order. */
export async function streamEvents(
  client: { xrange(key: string, from: string, to: string): Promise<[string, string[]][]> },
  key = paymentStream,
): Promise<StreamEvent[]> {
  const entries = await client.xrange(key, '-', '+')
  return entries.map(([entryId, flat]) => {
    const field = (name: string) => flat[flat.indexOf(name) + 1] ?? ''
    const version = Number(field('version'))
    return { entryId, id: field('id'), subject: field('subject'), version, type: field('type') }
  })
}

/** The versions of each subject, in the order in which they first appear. */
export function firstAppearances(events: readonly StreamEvent[]): Map<string, number[]> {
  const versions = new Map<string, number[]>()
  for (const { subject, version } of events) {
    const seen = versions.get(subject) ?? []
    if (!seen.includes(version)) versions.set(subject, [...seen, version])
  }
  return versions
}

export const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

/** As `eventually`, with patience for a machine that is busy with other tests. */
export const soon = <T>(check: () => T | Promise<T>, withinMs = 45_000) =>
  eventually(check, { withinMs, everyMs: 50 })

/** A log that remembers. */
export function recordingLog(): Log & {
  lines: { level: string; message: string; fields: object }[]
} {
  const lines: { level: string; message: string; fields: object }[] = []
  const note = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields })
  return { lines, info: note('info'), warn: note('warn'), error: note('error') }
}
