import { describe, expect, it } from 'vitest'
import { Redis } from 'ioredis'
import pg from 'pg'
import { eventually, startDatabase, startProxy, startRedis } from '@wattle/testkit'

async function behindProxy() {
  const redis = await startRedis()
  const proxy = await startProxy(redis)
  const client = new Redis({
    host: proxy.host,
    port: proxy.port,
    commandTimeout: 10_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 20,
  })
  client.on('error', () => undefined)
  await client.ping()
  return {
    redis,
    proxy,
    client,
    async [Symbol.asyncDispose]() {
      client.disconnect()
      await proxy.stop()
      await redis.stop()
    },
  }
}

describe('a proxy in front of a server', () => {
  it('slow: each round trip takes at least the delay in both directions', async () => {
    await using stack = await behindProxy()
    stack.proxy.slow(100)
    const started = performance.now()
    await stack.client.ping()
    expect(performance.now() - started).toBeGreaterThan(190)
  })

  it('blackhole: nothing is answered and nothing fails, until it heals', async () => {
    await using stack = await behindProxy()
    stack.proxy.blackhole()
    let settled = false
    const reply = stack.client.set('a', '1').finally(() => (settled = true))
    const direct = stack.redis.client()
    for (let round = 0; round < 20; round++) await direct.ping()
    expect(settled).toBe(false)
    expect(await direct.get('a')).toBeNull()
    await stack.proxy.heal()
    expect(await reply).toBe('OK')
  })

  it('blackhole of the replies: the command is executed although its caller never hears of it', async () => {
    await using stack = await behindProxy()
    stack.proxy.blackhole('replies')
    const reply = stack.client.set('a', '1')
    const direct = stack.redis.client()
    await eventually(async () => expect(await direct.get('a')).toBe('1'))
    await stack.proxy.heal()
    expect(await reply).toBe('OK')
  })

  it('cut: connections break, new ones work', async () => {
    await using stack = await behindProxy()
    const closed = new Promise((resolve) => stack.client.once('close', resolve))
    stack.proxy.cut()
    await closed
    expect(await eventually(() => stack.client.ping())).toBe('PONG')
  })

  it('refuse: connections break and new ones are refused, until it heals', async () => {
    await using stack = await behindProxy()
    await stack.proxy.refuse()
    const attempt = new Redis({
      port: stack.proxy.port,
      lazyConnect: true,
      retryStrategy: () => null,
    })
    const error = new Promise<Error>((resolve) => attempt.once('error', resolve))
    await expect(attempt.connect()).rejects.toThrow('closed')
    expect(await error).toMatchObject({ code: 'ECONNREFUSED' })
    await stack.proxy.heal()
    expect(await eventually(() => stack.client.ping())).toBe('PONG')
  })
})

describe('a proxy in front of a Unix socket', () => {
  it('cuts and heals like any other', async () => {
    await using database = await startDatabase()
    const { hostname } = new URL(database.adminUrl)
    const path = `${decodeURIComponent(hostname)}/.s.PGSQL.5432`
    const proxy = await startProxy({ path })
    try {
      const url = new URL(database.adminUrl)
      const config = {
        host: proxy.host,
        port: proxy.port,
        user: url.username,
        database: database.name,
        password: decodeURIComponent(url.password),
      }
      const client = new pg.Client(config)
      const failed = new Promise((done) => client.on('error', done))
      await client.connect()
      proxy.cut()
      expect(await failed).toBeInstanceOf(Error)

      const again = new pg.Client(config)
      await again.connect()
      expect((await again.query('select 1 as one')).rows).toEqual([{ one: 1 }])
      await again.end()
    } finally {
      await proxy.stop()
    }
  })
})
