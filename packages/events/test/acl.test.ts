import { describe, expect, onTestFinished, test } from 'vitest'
import { sql } from 'kysely'
import { startRedis } from '@wattle/testkit'
import { consume, startRelay } from '../src/index.ts'
import {
  append,
  connect,
  environment,
  paymentStream,
  soon,
  startEventDatabase,
  type Tables,
} from './support.ts'

describe('E1, E2, R4: rights', { timeout: 120_000 }, () => {
  test('relay and consumer do with the grants of infra/redis/shared-grants.json, and a consumer cannot forge an event', async () => {
    const server = await startRedis({
      acl: true,
      group: 'state',
      environment,
      services: ['payment', 'billing'],
    })
    const db = await startEventDatabase()
    const admin = server.client()
    const publisher = await connect(server.urlFor('payment'), 'payment')
    const subscriber = await connect(server.urlFor('billing'), 'billing')
    const relay = startRelay({
      databaseUrl: db.url,
      redis: publisher,
      environment,
      service: 'payment',
      replicas: 0,
      repeatMs: 100,
      retentionMs: 500,
    })
    const consumer = consume<Tables>({
      redis: subscriber,
      database: db.pool,
      environment,
      group: 'billing',
      streams: ['payment'],
      blockMs: 100,
      claimAfterMs: 600,
      handlers: {
        'payment.succeeded': async ({ id, subject, version }, trx) => {
          await sql`insert into effects (event_id, subject, version) values (${id}, ${subject}, ${version})`.execute(
            trx,
          )
        },
      },
    })
    onTestFinished(async () => {
      await Promise.all([relay.stop(), consumer.stop()])
      await Promise.all([publisher.close(), subscriber.close()])
      await Promise.all([db.close(), server.stop()])
    })
    for (let i = 0; i < 150; i += 1) await append(db.pool, 'a')
    await soon(async () => expect(await db.query('select 1 from effects')).toHaveLength(150))
    // Trimming has the rights it needs too.
    await soon(async () => expect(await admin.xlen(paymentStream)).toBeLessThan(150))

    expect(await publisher.client.wait(0, 1)).toBe(0)
    await Promise.all([relay.stop(), consumer.stop()])
    expect(await admin.call('ACL', 'LOG')).toEqual([])

    const denied = /NOPERM/
    const { client } = subscriber
    await expect(client.xadd(paymentStream, '*', 'id', 'forged')).rejects.toThrow(denied)
    await expect(client.del(paymentStream)).rejects.toThrow(denied)
    await expect(client.xgroup('DESTROY', paymentStream, 'billing')).rejects.toThrow(denied)
    const another = `${environment}:events:billing`
    await expect(publisher.client.xadd(another, '*', 'a', 'b')).rejects.toThrow(denied)
  })
})
