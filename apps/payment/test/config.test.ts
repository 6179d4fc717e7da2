import { generateSigningKey } from '@wattle/identity'
import { describe, expect, test } from 'vitest'
import { paymentConfig, timingOf } from '../src/config.ts'
import { defaultTiming } from '../src/timing.ts'
import { secret } from './world.ts'

const good = {
  WATTLE_ENV: 'test',
  WATTLE_SERVICE_PORT: '3002',
  DATABASE_URL_PAYMENT: 'postgresql://payment:x@localhost/payment',
  WATTLE_REDIS_CACHE_URL: 'redis://localhost:6380',
  WATTLE_REDIS_STATE_URL: 'redis+sentinel://localhost:26380/state',
  WATTLE_INTERNAL_JWKS_URL: 'http://localhost:3000/.well-known/jwks.json',
  WATTLE_BILLING_URL: 'http://localhost:3003',
  WATTLE_SERVICE_SIGNING_KEY: generateSigningKey(),
  WATTLE_PROCESSOR_SECRET: secret,
}

describe('R3 the configuration of the payment service', () => {
  test('is complete with what has no default', () => {
    const { askAfterMs, claimMs, processorTimeoutMs } = {
      ...defaultTiming,
      ...timingOf(paymentConfig(good)),
    }
    expect(askAfterMs).toBeGreaterThan(processorTimeoutMs)
    expect(claimMs).toBeGreaterThan(2 * processorTimeoutMs)
  })

  test.each(Object.keys(good).filter((name) => name !== 'WATTLE_ENV'))(
    'without %s says so in one sentence that names it',
    (name) => {
      expect(() => paymentConfig({ ...good, [name]: undefined })).toThrow(
        new RegExp(`^${name} is missing[^\\n]*$`),
      )
    },
  )

  test.each([
    ['WATTLE_PROCESSOR_SECRET', 'hunter2'],
    ['WATTLE_SERVICE_SIGNING_KEY', 'no key at all'],
    ['WATTLE_BILLING_URL', 'localhost:3003'],
    ['WATTLE_PROCESSOR_TIMEOUT_MS', '60000'],
    ['WATTLE_EVENT_REPLICAS', '-1'],
    ['DATABASE_URL_PAYMENT', 'mysql://localhost/payment'],
  ])('with %s=%s says so in one sentence that names it and shows no secret', (name, value) => {
    let message = ''
    try {
      paymentConfig({ ...good, [name]: value })
    } catch (error) {
      message = String(error)
    }
    expect(message).toMatch(new RegExp(`${name} [^\\n]+$`))
    expect(message).not.toContain('hunter2')
    expect(message).not.toContain('no key at all')
  })
})
