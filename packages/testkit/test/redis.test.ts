import { describe, expect, it } from 'vitest'
import { eventually, startRedis } from '@wattle/testkit'

describe('a single Redis', () => {
  it('is ready to use, and starts in well under a second', async () => {
    const started = performance.now()
    await using redis = await startRedis()
    const tookMs = performance.now() - started
    console.log(`a single Redis was ready after ${Math.round(tookMs)} ms`)
    expect(await redis.client().set('a', '1')).toBe('OK')
    expect(tookMs).toBeLessThan(3000)
  })

  it('each call has a server of its own', async () => {
    await using one = await startRedis()
    await using other = await startRedis()
    await one.client().set('a', '1')
    expect(await other.client().get('a')).toBeNull()
  })

  it('hangs while frozen: a command gets neither a reply nor an error, and goes on after the thaw', async () => {
    await using redis = await startRedis()
    const client = redis.client({ commandTimeout: 60_000 })
    await client.ping()
    redis.freeze()
    let settled = false
    const reply = client.ping().finally(() => (settled = true))
    const impatient = redis.client({ commandTimeout: 300, connectTimeout: 200 })
    await expect(impatient.ping()).rejects.toThrow('timed out')
    expect(settled).toBe(false)
    redis.thaw()
    expect(await reply).toBe('PONG')
  })

  it('refuses connections once killed, and comes back empty on the same port', async () => {
    await using redis = await startRedis()
    const client = redis.client()
    await client.set('a', '1')
    await redis.kill()
    await expect(redis.client({ retryStrategy: () => null }).ping()).rejects.toThrow('closed')
    await redis.restart()
    expect(await eventually(() => client.get('a'))).toBeNull()
  })

  it('with access control: a service reaches its own keys only, and nobody is anonymous', async () => {
    await using redis = await startRedis({ acl: true })
    const { username, password } = new URL(redis.urlFor('billing'))
    const billing = redis.client({ username, password })
    expect(await billing.set('test:billing:a', '1')).toBe('OK')
    await expect(billing.set('test:user:a', '1')).rejects.toThrow('NOPERM')
    const anonymous = redis.client({ username: '', password: '' })
    await expect(anonymous.ping()).rejects.toThrow('NOAUTH')
  })
})
