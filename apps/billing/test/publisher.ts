import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EventPayload, EventType, Id } from '@wattle/contracts'
import { migrate, openDatabase } from '@wattle/database'
import { appendEvents, startRelay, type NewEvent } from '@wattle/events'
import { connectRedis } from '@wattle/redis'
import { startDatabase, startRedis } from '@wattle/testkit'

const outbox = fileURLToPath(
  new URL('../../../packages/events/migrations/outbox.sql', import.meta.url),
)

/** The payment service as far as others see it: an outbox in a database of its own, a relay, and the `state` Redis. */
export async function startPublisher() {
  const migrations = mkdtempSync(join(tmpdir(), 'wattle-outbox-'))
  copyFileSync(outbox, join(migrations, '0001_outbox.sql'))
  const [state, postgres] = await Promise.all([
    startRedis({ group: 'state' }),
    startDatabase({ service: 'payment', migrations, migrate }),
  ])
  const database = openDatabase<unknown>({ url: postgres.url, name: 'publisher', poolSize: 4 })
  const redis = connectRedis({ url: state.url, name: 'publisher' })
  const relay = startRelay({
    databaseUrl: postgres.url,
    redis,
    environment: 'test',
    service: 'payment',
    replicas: 0,
    pollMs: 20,
  })

  return {
    state,
    /** Stores events of payments, in order; the relay brings them to whoever consumes. */
    async publish<T extends EventType>(
      ...events: { type: T; payload: EventPayload<T> & { paymentId: Id<'pay'> } }[]
    ): Promise<void> {
      const about = { correlationId: 'req-1', causationId: 'req-1' }
      const stored = events.map(
        ({ type, payload }) =>
          ({ type, payload, subject: payload.paymentId, ...about }) as NewEvent,
      )
      await database.transaction((trx) => appendEvents(trx, stored))
      relay.wake()
    },
    async stop() {
      await relay.stop()
      await redis.close()
      await database.close()
      await Promise.all([state.stop(), postgres.drop()])
      rmSync(migrations, { recursive: true })
    },
  }
}

export type Publisher = Awaited<ReturnType<typeof startPublisher>>
