import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually, startDatabase, startRedis } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createCache, createOutbox, outboxMigration, tag, type SqlQuery } from '../src/index.ts'

const log = { info() {}, warn() {}, error() {} }

async function startWorld() {
  const [server, postgres] = await Promise.all([startRedis(), startDatabase()])
  const query: SqlQuery = (sql, values) => postgres.query(sql, [...values])
  await query(readFileSync(outboxMigration, 'utf8'), [])
  await query('create table words (id text primary key, word text not null)', [])
  const redis = connectRedis({ url: server.url, name: 'reader' })
  const keys = keySpace({ environment: 'test', service: 'outbox' })
  const cache = createCache({ redis, keys, log })
  const words = cache.kind<string>('word', { ttl: '10m' })
  await eventually(() => expect(cache.synchronized).toBe(true))
  const outbox = createOutbox({ cache, query, log })
  const inDatabase = async () => String((await query(`select word from words`, []))[0]?.['word'])
  return {
    server,
    postgres,
    query,
    cache,
    words,
    outbox,
    read: () => words.getOrSet('a', inDatabase),
    rows: () => query('select refs, history from cache_invalidations order by id', []),
    async stop() {
      await outbox.stop()
      cache.close()
      await redis.close()
      await Promise.all([server.stop(), postgres.drop()])
    },
  }
}

let world: Awaited<ReturnType<typeof startWorld>>
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.stop())
beforeEach(async () => {
  await world.query('truncate words, cache_invalidations', [])
  await world.query(`insert into words values ('a', 'old')`, [])
  await world.cache.invalidate([world.words.ref('a')])
})

describe('C13 the outbox of invalidations', () => {
  test('what a process wrote that was killed right after its commit is invalidated by another', async () => {
    const { read, server, postgres } = world
    expect(await read()).toBe('old')
    const program = fileURLToPath(new URL('processes/writer-that-dies.ts', import.meta.url))
    const child = spawn(process.execPath, [program, server.url, postgres.url], { stdio: 'inherit' })
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
    expect(signal).toBe('SIGKILL')
    await eventually(async () => expect(await read()).toBe('new'), { withinMs: 5_000 })
  })

  test('a write is invalidated when it ends, and its row names the history that executed it', async () => {
    const { read, query, words, outbox, cache, rows } = world
    expect(await read()).toBe('old')
    await outbox.write(async (invalidates) => {
      await query(`update words set word = 'new'`, [])
      await invalidates(query, [words.ref('a'), tag('user:1')])
    })
    expect(await read()).toBe('new')
    await eventually(async () => expect((await rows())[0]?.['history']).toBe(cache.history))
  })

  test('a write that fails is invalidated as well, and fails', async () => {
    const { read, query, words, outbox } = world
    expect(await read()).toBe('old')
    const write = outbox.write(async (invalidates) => {
      await invalidates(query, [words.ref('a')])
      await query(`update words set word = 'new'`, [])
      throw new Error('the connection was lost at the commit')
    })
    await expect(write).rejects.toThrow('lost at the commit')
    expect(await read()).toBe('new')
  })

  test('what was stored for a write that somebody else commits is executed after it, by whoever is there', async () => {
    const { read, query, words, outbox, cache, rows } = world
    expect(await read()).toBe('old')
    await query(`update words set word = 'new'`, [])
    const execute = await outbox.store(query, [words.ref('a')])
    expect(await rows()).toMatchObject([{ history: null }])
    await execute()
    expect(await read()).toBe('new')
    await eventually(async () => expect((await rows())[0]?.['history']).toBe(cache.history))

    await query(`update words set word = 'newer'`, [])
    await outbox.store(query, [words.ref('a')])
    await eventually(async () => expect(await read()).toBe('newer'), { withinMs: 5_000 })
  })

  test('a row that another history executed is executed again', async () => {
    const { read, query, words, outbox, cache, rows } = world
    await read()
    await query(
      `insert into cache_invalidations (refs, history, created_at) values ($1, 'another', now() - interval '5 s')`,
      [
        cache.encodeRefs([
          words.ref('a'),
          tag('t', 'expire'),
          words.all(),
          words.startingWith('b'),
        ]),
      ],
    )
    await query(`update words set word = 'new'`, [])
    await eventually(async () => {
      await outbox.sweep()
      expect((await rows())[0]?.['history']).toBe(cache.history)
    })
    expect(await read()).toBe('new')
  })

  test('rows are removed a minute after they were executed, and not before', async () => {
    const { query, words, outbox, cache, rows } = world
    const refs = cache.encodeRefs([words.ref('a')])
    await query(
      `insert into cache_invalidations (refs, history, created_at)
       values ($1, $2, now() - interval '50 s'), ($1, $2, now() - interval '70 s'), ($1, null, now() - interval '1 h')`,
      [refs, cache.history],
    )
    // One that is under way already may have looked before.
    await eventually(async () => {
      await outbox.sweep()
      expect(await rows()).toEqual([{ refs, history: cache.history }])
    })
  })
})
