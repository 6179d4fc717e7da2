import { connectRedis, keySpace } from '@wattle/redis'
import pg from 'pg'
import { createCache, createOutbox } from '../../src/index.ts'

/** Writes `new`, and is killed between its commit and the invalidation. Arguments: URL of Redis, URL of PostgreSQL. */
const [, , redisUrl = '', databaseUrl = ''] = process.argv
const log = { info() {}, warn() {}, error() {} }
const redis = connectRedis({ url: redisUrl, name: 'writer' })
const keys = keySpace({ environment: 'test', service: 'outbox' })
const cache = createCache({ redis, keys, log })
const words = cache.kind<string>('word', { ttl: '10m' })
const client = new pg.Client(databaseUrl)
await client.connect()
const query = async (sql: string, values: readonly unknown[]) =>
  (await client.query<Record<string, unknown>>(sql, [...values])).rows

await createOutbox({ cache, query, log }).write(async (invalidates) => {
  await client.query('begin')
  await client.query(`update words set word = 'new' where id = 'a'`)
  await invalidates(query, [words.ref('a')])
  await client.query('commit')
  process.kill(process.pid, 'SIGKILL')
  await new Promise(() => {})
})
