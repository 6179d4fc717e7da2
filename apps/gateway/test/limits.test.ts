import { userRoutes, billingRoutes } from '@wattle/contracts'
import { createRateLimits } from '@wattle/ratelimit'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { gatewayLimits, personalSecretFrom } from '../src/limits.ts'
import { json, startFixture, type Fixture } from './fixture.ts'

const silent = { info() {}, warn() {}, error() {} }
let server: TestRedis
let gateway: Fixture
let close: () => Promise<void>

beforeAll(async () => {
  server = await startRedis({ acl: true, services: ['gateway'] })
})
afterAll(() => server.stop())
beforeEach(async () => {
  await eventually(() => server.client().flushall())
  await open(server.urlFor('gateway'))
  await redisReady()
})
afterEach(() => close())

let redisReady: () => Promise<boolean>

/** The gateway, as its own Redis user, before services that answer as the test says. */
async function open(url: string): Promise<void> {
  const redis = connectRedis({ url, name: 'gateway' })
  redisReady = () => redis.whenReady(5_000)
  const keys = keySpace({
    environment: 'test',
    service: 'gateway',
    personalSecret: personalSecretFrom('a key in PEM'),
  })
  const rateLimits = createRateLimits({ redis, keys, log: silent, deadlineMs: 2_000 })
  gateway = await startFixture({
    services: { user: userRoutes, billing: billingRoutes },
    limits: { rateLimits, redis, trustedProxies: ['127.0.0.1'] },
  })
  close = async () => {
    await gateway.stop()
    rateLimits.close()
    await redis.close()
  }
}

const problem = (status: number, code: string) =>
  json(
    { type: 'about:blank', title: code, status, code, detail: code, requestId: 'r' },
    { 'content-type': 'application/problem+json' },
    status,
  )

const login = (email: string, address = '203.0.113.1') =>
  gateway.call('/api/auth/login', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
    body: JSON.stringify({ email, password: 'a guess at a password' }),
  })

describe('L5 S0 the limits of the gateway', () => {
  test('five guesses at an account from one address, then 429 as a problem document', async () => {
    gateway.answer = problem(401, 'INVALID_CREDENTIALS')
    for (let n = 0; n < 5; n++) expect((await login('ada@example.com')).status).toBe(401)
    // Written otherwise it is the same account.
    const refused = await login(' Ada@Example.com ')
    expect(refused.status).toBe(429)
    expect(refused.headers['content-type']).toMatch('application/problem+json')
    expect(refused.json()).toMatchObject({
      status: 429,
      code: 'TOO_MANY_REQUESTS',
      detail: expect.stringMatching(/^Too many requests; try again in \d+ seconds\.$/) as string,
      requestId: refused.headers['x-request-id'],
    })
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(800)
    expect(refused.headers['ratelimit-policy']).toBe(
      '"login-account";q=5;w=900, "login-address";q=50;w=900',
    )
    expect(gateway.seen).toHaveLength(5)
  })

  test('nobody locks out somebody else: the same account from another address is not limited', async () => {
    gateway.answer = problem(401, 'INVALID_CREDENTIALS')
    for (let n = 0; n < 8; n++) await login('ada@example.com')
    expect((await login('ada@example.com')).status).toBe(429)
    gateway.answer = json({ accessToken: 'x', tokenType: 'Bearer', expiresInSeconds: 900 })
    expect((await login('ada@example.com', '198.51.100.7')).status).toBe(200)
    expect((await login('eve@example.com')).status).toBe(200)
  })

  test('who signs in is not counted, however often', async () => {
    gateway.answer = json({ accessToken: 'x', tokenType: 'Bearer', expiresInSeconds: 900 })
    for (let n = 0; n < 20; n++) expect((await login('ada@example.com')).status).toBe(200)
  })

  test('one address guesses at fifty accounts at most, and a body without an account counts too', async () => {
    gateway.answer = problem(401, 'INVALID_CREDENTIALS')
    const statuses = []
    for (let n = 0; n < 51; n++) statuses.push((await login(`person${n}@example.com`)).status)
    expect(statuses.slice(0, 50).every((status) => status === 401)).toBe(true)
    expect(statuses.at(-1)).toBe(429)
    const { status } = await gateway.call('/api/auth/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': '203.0.113.1' },
      body: 'no JSON',
    })
    expect(status).toBe(429)
  })

  test('people are told apart by who they are, others by their address', async () => {
    gateway.answer = json({ ok: true })
    const remaining = async (path: string, headers: Record<string, string>) =>
      (await gateway.call(path, { headers })).headers['x-ratelimit-remaining']
    const person = { authorization: gateway.authorization() }
    expect(await remaining('/api/me', { ...person, 'x-forwarded-for': '203.0.113.1' })).toBe('99')
    expect(await remaining('/api/me', { ...person, 'x-forwarded-for': '203.0.113.2' })).toBe('98')
    expect(await remaining('/api/providers', { 'x-forwarded-for': '203.0.113.1' })).toBe('29')
    expect(await remaining('/api/providers', { 'x-forwarded-for': '203.0.113.2' })).toBe('29')
    expect(await remaining('/api/providers', { 'x-forwarded-for': '203.0.113.2' })).toBe('28')
  })

  test('probes and metrics are not limited', async () => {
    for (const path of ['/livez', '/readyz', '/metrics']) {
      const { status, headers } = await gateway.call(path)
      expect([status, headers['ratelimit']]).toEqual([200, undefined])
    }
  })

  test('without Redis it is ready, answers, and still limits guesses, at half', async () => {
    await close()
    await open('redis://127.0.0.1:1')
    expect((await gateway.call('/readyz')).status).toBe(200)
    gateway.answer = problem(401, 'INVALID_CREDENTIALS')
    const statuses = []
    for (let n = 0; n < 4; n++) statuses.push((await login('ada@example.com')).status)
    expect(statuses).toEqual([401, 401, 429, 429])
    expect((await login('ada@example.com', '198.51.100.7')).status).toBe(401)
  })

  test('keys of limits hold neither addresses nor e-mail addresses', async () => {
    gateway.answer = problem(401, 'INVALID_CREDENTIALS')
    await login('ada@example.com')
    const keys = await server.client().keys('*')
    expect(keys).toHaveLength(2)
    for (const key of keys) {
      expect(key).toMatch(/^test:gateway:sliding-(log|counter)@1:\{login\}:login:/)
      expect(key).not.toMatch(/ada|example|203|@e/)
    }
  })

  test.each([0.1, 1, 1_000])('every limit can be scaled by %d', (scale) => {
    const redis = connectRedis({ url: 'redis://127.0.0.1:1', name: 'scale' })
    const keys = keySpace({ environment: 'test', service: 'gateway' })
    const rateLimits = createRateLimits({ redis, keys, log: silent })
    const { policies } = gatewayLimits({ rateLimits, scale })
    expect(policies?.default?.limit).toBe(100 * scale)
    rateLimits.close()
    return redis.close()
  })
})
