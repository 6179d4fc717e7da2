import type { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { eventually, type ClientOptions } from '@wattle/testkit'

/** What a Redis for tests can do, wherever it runs. */
interface AnyRedis {
  client(options?: ClientOptions): Redis
  kill(): Promise<void>
  restart(): Promise<void>
  freeze(): void | Promise<void>
  thaw(): void | Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** The promises that hold for a process and for a container. */
export function redisPromises(start: () => Promise<AnyRedis>): void {
  it('each call has a server of its own', async () => {
    await using one = await start()
    await using other = await start()
    await one.client().set('a', '1')
    expect(await other.client().get('a')).toBeNull()
  })

  it('hangs while frozen: a command gets neither a reply nor an error, and goes on after the thaw', async () => {
    await using redis = await start()
    const client = redis.client({ commandTimeout: 60_000 })
    const impatient = redis.client({ commandTimeout: 300 })
    await Promise.all([client.ping(), impatient.ping()])
    await redis.freeze()
    let settled = false
    const reply = client.ping().finally(() => (settled = true))
    await expect(impatient.ping()).rejects.toThrow('timed out')
    expect(settled).toBe(false)
    await redis.thaw()
    expect(await reply).toBe('PONG')
  })

  it('loses its clients when it is killed, and comes back empty on the same port', async () => {
    await using redis = await start()
    const client = redis.client()
    await client.set('a', '1')
    const lost = new Promise((resolve) => client.once('close', resolve))
    await redis.kill()
    await lost
    await redis.restart()
    expect(await eventually(() => client.get('a'))).toBeNull()
  })
}
