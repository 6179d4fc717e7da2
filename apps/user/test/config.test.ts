import { generateSigningKey } from '@wattle/identity'
import { describe, expect, test } from 'vitest'
import { userConfig } from '../src/config.ts'

const good = {
  WATTLE_ENV: 'test',
  WATTLE_SERVICE_PORT: '3001',
  DATABASE_URL_USER: 'postgresql://user:secret-word@localhost/user',
  WATTLE_REDIS_CACHE_URL: 'redis+sentinel://user:secret-word@localhost:26380/cache',
  WATTLE_REDIS_STATE_URL: 'redis+sentinel://user:secret-word@localhost:26380/state',
  WATTLE_SESSION_SECRET: Buffer.alloc(32, 'session').toString('base64'),
  WATTLE_INTERNAL_JWKS_URL: 'http://localhost:3000/.well-known/jwks.json',
  WATTLE_ACCESS_SIGNING_KEY: generateSigningKey(),
}

describe('R3 the configuration of the user service', () => {
  test('that is right is taken', () => {
    expect(userConfig(good)).toMatchObject({ WATTLE_SERVICE_PORT: 3001 })
  })

  test.each(Object.keys(good))('without %s stops with one sentence that names it', (name) => {
    const { [name as keyof typeof good]: _, ...rest } = good
    expect(() => userConfig(rest)).toThrow(new RegExp(`^${name} [^\\n]+$`))
  })

  test.each([
    ['WATTLE_SERVICE_PORT', '70000'],
    ['WATTLE_ENV', 'prod'],
    ['DATABASE_URL_USER', 'mysql://user:secret-word@localhost/user'],
    ['WATTLE_REDIS_CACHE_URL', 'redis+sentinel://user:secret-word@localhost'],
    ['WATTLE_REDIS_STATE_URL', 'redis+sentinel://user:secret-word@localhost'],
    ['WATTLE_SESSION_SECRET', 'secret-word'],
    ['WATTLE_SESSION_SECRET', `${Buffer.alloc(32).toString('base64')},secret-word`],
    ['WATTLE_MAIL_URL', 'smtp://user:secret-word@localhost'],
    ['WATTLE_GEOIP', '203.0.113.0/24,NG\nsecret-word,XX'],
    ['WATTLE_INTERNAL_JWKS_URL', 'localhost:3000'],
    ['WATTLE_ACCESS_SIGNING_KEY', 'secret-word'],
    [
      'WATTLE_ACCESS_SIGNING_KEY',
      good.WATTLE_ACCESS_SIGNING_KEY.replace(/\n.{20}/, '\nsecret-word'),
    ],
  ])('with %s=%s stops with one sentence that names it and tells no secret', (name, value) => {
    let sentence = ''
    try {
      userConfig({ ...good, [name]: value })
    } catch (error) {
      sentence = (error as Error).message
    }
    expect(sentence).toMatch(new RegExp(`^${name} [^\\n]+$`))
    expect(sentence).not.toMatch(/secret-word|MC4CAQ/)
  })

  test('needs somewhere to send mails where there is no local inbox', () => {
    for (const WATTLE_ENV of ['staging', 'production']) {
      expect(() => userConfig({ ...good, WATTLE_ENV })).toThrow(/^WATTLE_MAIL_URL [^\n]+$/)
      const WATTLE_MAIL_URL = 'https://mail.example/send'
      expect(userConfig({ ...good, WATTLE_ENV, WATTLE_MAIL_URL })).toMatchObject({ WATTLE_ENV })
    }
  })
})
