import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sql } from 'kysely'
import { appendEvents, causedBy, checkEventMigrations } from '../src/index.ts'
import { append, migrations, startEventDatabase, succeeded, upTo } from './support.ts'

describe('E1: the outbox', { timeout: 120_000 }, () => {
  let db: Awaited<ReturnType<typeof startEventDatabase>>
  beforeAll(async () => {
    db = await startEventDatabase()
  })
  afterAll(() => db.close())

  const stored = async (subject: string) => {
    const rows = await db.query(
      'select id, version, payload, correlation_id, causation_id from outbox where subject = $1 order by id',
      [subject],
    )
    return rows.map((row) => ({ ...row, version: Number(row['version']) }))
  }

  test('an event is there exactly when its change is', async () => {
    await db.pool.transaction(async (trx) => {
      await sql`insert into effects (event_id, subject, version) values ('e', 'kept', 1)`.execute(
        trx,
      )
      await appendEvents(trx, [succeeded('kept')])
    })
    const failing = db.pool.transaction(async (trx) => {
      await appendEvents(trx, [succeeded('dropped')])
      throw new Error('the change fails')
    })
    await expect(failing).rejects.toThrow('the change fails')
    expect(await stored('kept')).toHaveLength(1)
    expect(await stored('dropped')).toHaveLength(0)
    // The version was not used up.
    const [event] = await append(db.pool, 'dropped')
    expect(event?.version).toBe(1)
  })

  test('versions of a subject grow by one under 20 concurrent writers, and ids with them', async () => {
    const writers = upTo(20).map(async () => {
      for (let i = 0; i < 10; i += 1) await append(db.pool, 'crowded')
    })
    await Promise.all(writers)
    const rows = await stored('crowded')
    expect(rows.map((row) => row.version)).toEqual(upTo(200))
  })

  test('a second writer of a subject waits for the end of the first', async () => {
    const held = Promise.withResolvers<void>()
    const appended = Promise.withResolvers<void>()
    const order: string[] = []
    const first = db.pool.transaction(async (trx) => {
      await appendEvents(trx, [succeeded('contended')])
      appended.resolve()
      await held.promise
      order.push('first ends')
    })
    await appended.promise
    const second = append(db.pool, 'contended').then(([event]) => {
      order.push('second goes on')
      return event?.version
    })
    await append(db.pool, 'another')
    order.push('another subject is free')
    held.resolve()
    await first
    expect(await second).toBe(2)
    expect(order).toEqual(['another subject is free', 'first ends', 'second goes on'])
  })

  test('several events of one call get their versions in the order of the call', async () => {
    const events = await append(db.pool, 'a', 'b', 'a', 'a', 'b')
    const places = events.map(({ subject, version }) => `${subject}${version}`)
    expect(places).toEqual(['a1', 'b1', 'a2', 'a3', 'b2'])
    expect((await stored('a')).map((row) => row.version)).toEqual([1, 2, 3])
  })

  test('calls that name the same subjects in other orders do not deadlock', async () => {
    const subjects = ['x', 'y', 'z']
    const calls = upTo(40).map((n) =>
      append(db.pool, ...(n % 2 ? subjects : subjects.toReversed())),
    )
    await Promise.all(calls)
    expect((await stored('y')).map((row) => row.version)).toEqual(upTo(40))
  })

  test('what is returned is what is stored, with the ids that tie it to its cause', async () => {
    const [first] = await append(db.pool, 'chain')
    if (!first) throw new Error('nothing was stored')
    const [second] = await db.pool.transaction((trx) =>
      appendEvents(trx, [{ ...succeeded('chain', 250), ...causedBy(first) }]),
    )
    expect(second).toMatchObject({ version: 2, correlationId: 'req-1', causationId: first.id })
    const [, row] = await stored('chain')
    expect(row).toMatchObject({ version: 2, correlation_id: 'req-1', causation_id: first.id })
    expect(row).toHaveProperty('payload', second?.payload)
  })

  test('an event that does not fit its contract is refused, without its values in the message', async () => {
    const bad = {
      ...succeeded('refused'),
      payload: { ...succeeded('').payload, amountMinor: -12345 },
    }
    const refused = db.pool.transaction((trx) => appendEvents(trx, [succeeded('refused'), bad]))
    await expect(refused).rejects.toThrow(TypeError)
    await expect(refused).rejects.toThrow(/amountMinor/)
    await expect(refused).rejects.not.toThrow(/12345/)
    const unknown = { ...succeeded('refused'), type: 'payment.invented' as 'payment.succeeded' }
    await expect(db.pool.transaction((trx) => appendEvents(trx, [unknown]))).rejects.toThrow(
      /payment\.invented is not among/,
    )
    expect(await stored('refused')).toHaveLength(0)
  })

  test('a payload over 64 KiB is refused', async () => {
    const event = succeeded('big')
    const payload = { ...event.payload, note: 'x'.repeat(64 * 1024) }
    const big = db.pool.transaction((trx) => appendEvents(trx, [{ ...event, payload }]))
    await expect(big).rejects.toThrow(RangeError)
  })

  test("a service's copies of the tables are compared with the originals", () => {
    expect(() => checkEventMigrations(migrations, ['outbox', 'inbox'])).not.toThrow()
    const elsewhere = new URL('../src/', import.meta.url)
    expect(() => checkEventMigrations(elsewhere, ['outbox'])).toThrow(
      /no copy of outbox\.sql.*\bcp /,
    )
  })
})
