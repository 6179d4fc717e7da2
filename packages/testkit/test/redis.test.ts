import { describe, expect, it } from 'vitest'
import { startRedis } from '@wattle/testkit'
import { redisPromises } from './redis-suite.ts'

describe('a single Redis', () => {
  it('is ready to use, and starts in well under a second', async () => {
    const started = performance.now()
    await using redis = await startRedis()
    const tookMs = performance.now() - started
    console.log(`a single Redis was ready after ${Math.round(tookMs)} ms`)
    expect(await redis.client().set('a', '1')).toBe('OK')
    expect(tookMs).toBeLessThan(3000)
  })

  redisPromises(startRedis)

  it('with access control: a service reaches its own keys only, and nobody is anonymous', async () => {
    await using redis = await startRedis({ acl: true })
    const { username, password } = new URL(redis.urlFor('billing'))
    const billing = redis.client({ username, password })
    expect(await billing.set('test:billing:a', '1')).toBe('OK')
    await expect(billing.set('test:user:a', '1')).rejects.toThrow('NOPERM')
    const anonymous = redis.client({ username: '', password: '' })
    await expect(anonymous.ping()).rejects.toThrow('NOAUTH')
  })

  it('of the state group comes back with what it had acknowledged', async () => {
    await using redis = await startRedis({ group: 'state' })
    await redis.client().set('a', '1')
    await redis.kill()
    await redis.restart()
    expect(await redis.client().get('a')).toBe('1')
  })
})
