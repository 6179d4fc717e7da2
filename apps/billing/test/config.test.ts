import { describe, expect, test } from 'vitest'
import { billingConfig } from '../src/config.ts'

const good = {
  WATTLE_ENV: 'test',
  WATTLE_SERVICE_PORT: '3003',
  DATABASE_URL_BILLING: 'postgresql://billing:secret-word@localhost/billing',
  WATTLE_REDIS_CACHE_URL: 'redis+sentinel://billing:secret-word@localhost:26380/cache',
  WATTLE_REDIS_STATE_URL: 'redis+sentinel://billing:secret-word@localhost:26380/state',
  WATTLE_PAYMENT_URL: 'http://localhost:3002',
  WATTLE_INTERNAL_JWKS_URL: 'http://localhost:3000/.well-known/jwks.json',
}

describe('R3 the configuration of the billing service', () => {
  test('that is right is taken', () => {
    expect(billingConfig(good)).toMatchObject({ WATTLE_SERVICE_PORT: 3003 })
  })

  test.each(Object.keys(good))('without %s stops with one sentence that names it', (name) => {
    const { [name as keyof typeof good]: _, ...rest } = good
    expect(() => billingConfig(rest)).toThrow(new RegExp(`^${name} [^\\n]+$`))
  })

  test.each([
    ['WATTLE_SERVICE_PORT', '70000'],
    ['WATTLE_DATABASE_POOL', '0'],
    ['WATTLE_ENV', 'prod'],
    ['DATABASE_URL_BILLING', 'mysql://billing:secret-word@localhost/billing'],
    ['WATTLE_REDIS_CACHE_URL', 'redis+sentinel://billing:secret-word@localhost'],
    ['WATTLE_REDIS_STATE_URL', 'redis+sentinel://billing:secret-word@localhost'],
    ['WATTLE_INTERNAL_JWKS_URL', 'localhost:3000'],
    ['WATTLE_PAYMENT_URL', 'localhost:3002'],
  ])('with %s=%s stops with one sentence that names it and tells no secret', (name, value) => {
    let sentence = ''
    try {
      billingConfig({ ...good, [name]: value })
    } catch (error) {
      sentence = (error as Error).message
    }
    expect(sentence).toMatch(new RegExp(`^${name} [^\\n]+$`))
    expect(sentence).not.toContain('secret-word')
  })
})
