import { generateSigningKey } from '@wattle/identity'
import { describe, expect, test } from 'vitest'
import { gatewayConfig } from '../src/config.ts'

const good = {
  WATTLE_ENV: 'test',
  WATTLE_SERVICE_PORT: '3000',
  WATTLE_USER_URL: 'http://localhost:3001',
  WATTLE_PAYMENT_URL: 'http://localhost:3002',
  WATTLE_BILLING_URL: 'http://localhost:3003',
  WATTLE_REDIS_STATE_URL: 'redis+sentinel://gateway:secret-word@localhost:26380/state',
  WATTLE_INTERNAL_SIGNING_KEY: generateSigningKey(),
  WATTLE_REDIS_CACHE_URL: 'redis://localhost:6380',
}

describe('R3 the configuration of the gateway', () => {
  test('that is right is taken, and lets no other origin in', () => {
    expect(gatewayConfig(good)).toMatchObject({
      WATTLE_CORS_ORIGINS: [],
      WATTLE_RATE_LIMIT_SCALE: 1,
      WATTLE_TRUSTED_PROXIES: [],
    })
  })

  test('lists origins by commas', () => {
    const WATTLE_CORS_ORIGINS = 'https://app.example, http://localhost:5173'
    expect(gatewayConfig({ ...good, WATTLE_CORS_ORIGINS })).toMatchObject({
      WATTLE_CORS_ORIGINS: ['https://app.example', 'http://localhost:5173'],
    })
  })

  test.each(Object.keys(good))('without %s stops with one sentence that names it', (name) => {
    const { [name as keyof typeof good]: _, ...rest } = good
    expect(() => gatewayConfig(rest)).toThrow(new RegExp(`^${name} [^\\n]+$`))
  })

  test.each([
    ['WATTLE_USER_URL', 'localhost:3001'],
    ['WATTLE_USER_URL', 'http://user:secret-word@localhost:3001'],
    ['WATTLE_USER_URL', 'http://localhost:3001/?a=1'],
    ['WATTLE_PAYMENT_URL', 'http://localhost:3002/?a=1'],
    ['WATTLE_BILLING_URL', 'ftp://localhost'],
    ['WATTLE_BILLING_URL', 'http://localhost:99999'],
    ['WATTLE_REDIS_STATE_URL', 'redis+sentinel://gateway:secret-word@localhost'],
    ['WATTLE_INTERNAL_SIGNING_KEY', 'secret-word'],
    ['WATTLE_REDIS_CACHE_URL', 'redis://user:secret-word@host:port'],
    ['WATTLE_RATE_LIMIT_SCALE', '0'],
    ['WATTLE_RATE_LIMIT_SCALE', '1001'],
    ['WATTLE_RATE_LIMIT_SCALE', 'none'],
    ['WATTLE_TRUSTED_PROXIES', '10.0.0.0/8,nonsense'],
    ['WATTLE_CORS_ORIGINS', '*'],
    ['WATTLE_CORS_ORIGINS', 'https://app.example/'],
    ['WATTLE_CORS_ORIGINS', 'app.example'],
    ['WATTLE_CORS_ORIGINS', 'https://app.example,null'],
  ])('with %s=%s stops with one sentence that names it and tells no secret', (name, value) => {
    let sentence = ''
    try {
      gatewayConfig({ ...good, [name]: value })
    } catch (error) {
      sentence = (error as Error).message
    }
    expect(sentence).toMatch(new RegExp(`^${name} [^\\n]+$`))
    expect(sentence).not.toMatch('secret-word')
  })
})
