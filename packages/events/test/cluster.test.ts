import { expect, describe, onTestFinished, test } from 'vitest'
import { startCluster } from '@wattle/testkit'
import { consume, startRelay } from '../src/index.ts'
import { note } from './consuming.ts'
import { append, connect, environment, soon, startEventDatabase, type Tables } from './support.ts'

describe('E1, E2, R6: Redis Cluster', { timeout: 120_000 }, () => {
  test('events go from outbox to effect through a cluster, by configuration alone', async () => {
    const cluster = await startCluster()
    const db = await startEventDatabase()
    const redis = await connect(cluster.url, 'cluster-test')
    const publisher = { databaseUrl: db.url, service: 'payment', replicas: 0 }
    const relay = startRelay({ ...publisher, redis, environment })
    const consumer = consume<Tables>({
      redis,
      database: db.pool,
      environment,
      group: 'billing',
      streams: ['payment', 'user'],
      blockMs: 100,
      handlers: { 'payment.succeeded': note },
    })
    onTestFinished(async () => {
      await Promise.all([relay.stop(), consumer.stop()])
      await redis.close()
      await Promise.all([db.close(), cluster.stop()])
    })
    await append(db.pool, 'a', 'b', 'a')
    await soon(async () => {
      const rows = await db.query('select subject, version from effects order by subject, version')
      expect(rows.map(({ subject, version }) => `${String(subject)}${String(version)}`)).toEqual([
        'a1',
        'a2',
        'b1',
      ])
    })
  })
})
