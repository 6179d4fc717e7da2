import { internalTokens, readSigningKeys, generateSigningKey } from '@wattle/identity'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { json, startFixture, thingId, userId, type Fixture } from './fixture.ts'

let gateway: Fixture
beforeAll(async () => {
  gateway = await startFixture()
})
beforeEach(() => {
  gateway.answer = json({ ok: true })
  gateway.seen.length = 0
})
afterAll(() => gateway.stop())

/** What the service saw of the one request. */
function seen() {
  expect(gateway.seen).toHaveLength(1)
  const [one] = gateway.seen
  if (one === undefined) throw new Error('nothing arrived')
  return one
}

describe('S0 a request on its way in', () => {
  test('keeps its method, path, query and body', async () => {
    const authorization = gateway.authorization()
    await gateway.call(`/api/things/${thingId}?a=1&a=2&b=%2F..%2F%00&c=ä`.replace('ä', '%C3%A4'), {
      headers: { authorization },
    })
    expect(seen()).toMatchObject({
      method: 'GET',
      url: `/things/${thingId}?a=1&a=2&b=%2F..%2F%00&c=%C3%A4`,
      body: '',
    })
    gateway.seen.length = 0
    const body = ' {"exactly": "as it came", "n": 1.0} '
    const headers = { authorization, 'content-type': 'application/json; charset=utf-8' }
    await gateway.call('/api/things', { method: 'POST', headers, body })
    expect(seen()).toMatchObject({ method: 'POST', url: '/things', body })
    expect(seen().headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(body.length),
    })
  })

  test('swaps the access token for an internal one that only this service takes', async () => {
    const authorization = gateway.authorization(['operator'])
    await gateway.call(`/api/things/${thingId}`, { headers: { authorization } })
    const sent = seen().headers.authorization ?? ''
    expect(sent).not.toBe(authorization)
    expect(await gateway.internal.verify(sent.replace('Bearer ', ''))).toMatchObject({
      userId,
      roles: ['operator'],
    })
  })

  test('brings no token where the route is public, whatever the client sent', async () => {
    await gateway.call('/api/open', { headers: { authorization: gateway.authorization() } })
    expect(seen().headers).not.toHaveProperty('authorization')
  })

  test('loses every header that pretends to come from inside, and all that are not listed', async () => {
    const forged = internalTokens({ keys: readSigningKeys(generateSigningKey()) })
    const principal = { userId, roles: ['operator'], tokenId: 'tok_1' } as const
    await gateway.call('/api/open', {
      headers: {
        authorization: `Bearer ${forged.tokenFor(principal, 'fixture')}`,
        cookie: 'session=1',
        'proxy-authorization': 'Basic x',
        'x-wattle-user': userId,
        'X-Wattle-Internal': 'yes',
        'x-internal-token': 'x',
        'x-forwarded-for': '6.6.6.6',
        'x-forwarded-host': 'evil.example',
        'x-forwarded-proto': 'https',
        'x-real-ip': '6.6.6.6',
        forwarded: 'for=6.6.6.6',
        'x-original-url': '/inside',
        'x-http-method-override': 'DELETE',
        'x-user-id': userId,
        upgrade: 'h2c',
        te: 'trailers',
        'keep-alive': 'timeout=600',
        'accept-language': 'yo, en',
      },
    })
    const { headers } = seen()
    expect(Object.keys(headers).toSorted()).toEqual([
      'accept-language',
      'connection',
      'host',
      'traceparent',
      'x-deadline-ms',
      'x-forwarded-for',
      'x-request-id',
    ])
    expect(headers['x-forwarded-for']).toBe('127.0.0.1')
    expect(headers['host']).toBe(new URL(gateway.upstreamUrl).host)
  })

  test('cannot have headers of the gateway removed by naming them in Connection', async () => {
    await gateway.call(`/api/things/${thingId}`, {
      headers: {
        authorization: gateway.authorization(),
        connection: 'close, authorization, x-request-id, x-deadline-ms',
      },
    })
    expect(seen().headers).toMatchObject({
      authorization: expect.stringMatching(/^Bearer /) as string,
      'x-request-id': expect.any(String) as string,
      'x-deadline-ms': expect.any(String) as string,
    })
  })

  test('carries its request id, its trace and the time that is left', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const reply = await gateway.call('/api/open', {
      headers: {
        'x-request-id': 'my-request-0001',
        traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
        tracestate: 'vendor=1',
        'x-deadline-ms': '900',
      },
    })
    const { headers } = seen()
    expect(reply.headers['x-request-id']).toBe('my-request-0001')
    expect(headers['x-request-id']).toBe('my-request-0001')
    expect(headers['traceparent']).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
    expect(headers['traceparent']).not.toContain('00f067aa0ba902b7')
    expect(headers['tracestate']).toBe('vendor=1')
    const budgetMs = Number(headers['x-deadline-ms'])
    expect(budgetMs).toBeGreaterThan(0)
    expect(budgetMs).toBeLessThan(900)
  })

  test('gets an id and a trace of its own where the client sent none, or a bad one', async () => {
    await gateway.call('/api/open', {
      headers: { 'x-request-id': 'no good: {}', traceparent: 'x' },
    })
    expect(seen().headers['x-request-id']).toMatch(/^req_/)
    expect(seen().headers['traceparent']).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
  })
})

describe('S0 a reply on its way out', () => {
  test('keeps its status, body and headers, those of the cache among them', async () => {
    const told = {
      'cache-status': 'wattle-fixture; hit; ttl=60',
      'x-cache-status': 'HIT',
      'x-cache-key': 'test:fixture:a',
      'x-cache-ttl': '60',
      'x-cache-response-time': '0.4ms',
      age: '7',
      etag: '"abc"',
      'cache-control': 'private, max-age=5',
      'retry-after': '3',
      'ratelimit-policy': '"default";q=100',
    }
    gateway.answer = json({ made: 'it' }, told, 201)
    const reply = await gateway.call('/api/things', {
      method: 'POST',
      headers: { authorization: gateway.authorization(), 'content-type': 'application/json' },
      body: '{}',
    })
    expect(reply.status).toBe(201)
    expect(reply.json()).toEqual({ made: 'it' })
    expect(reply.headers).toMatchObject(told)
  })

  test('loses hop-by-hop and internal headers', async () => {
    gateway.answer = json(
      {},
      {
        connection: 'keep-alive, x-named',
        'keep-alive': 'timeout=5',
        'x-named': '1',
        'x-internal-host': 'billing-7',
        'x-wattle-node': '7',
        'x-request-id': 'another-id',
        'access-control-allow-origin': '*',
        'proxy-authenticate': 'Basic',
        upgrade: 'h2c',
      },
    )
    const reply = await gateway.call('/api/open')
    expect(reply.status).toBe(200)
    const names = Object.keys(reply.headers)
    const lost = ['x-named', 'x-internal-host', 'x-wattle-node', 'access-control-allow-origin']
    for (const name of [...lost, 'proxy-authenticate', 'upgrade']) expect(names).not.toContain(name)
    expect(reply.headers['x-request-id']).not.toBe('another-id')
  })

  test('keeps several headers of one name apart', async () => {
    gateway.answer = json({}, { 'set-cookie': ['a=1', 'b=2'], vary: 'accept' })
    const reply = await gateway.call('/api/open')
    expect(reply.headers['set-cookie']).toEqual(['a=1', 'b=2'])
  })

  test('has the security headers of the gateway', async () => {
    expect((await gateway.call('/api/open')).headers).toMatchObject({
      'content-security-policy': "default-src 'none';frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
    })
  })

  test('of a conditional request may be 304 without a body', async () => {
    gateway.answer = (request, response) => {
      expect(request.headers['if-none-match']).toBe('"abc"')
      response.writeHead(304, { etag: '"abc"' }).end()
    }
    const reply = await gateway.call('/api/open', { headers: { 'if-none-match': '"abc"' } })
    expect([reply.status, reply.headers['etag'], reply.text]).toEqual([304, '"abc"', ''])
  })

  test('of many megabytes is streamed as it comes', async () => {
    const size = 4 * 1024 * 1024
    gateway.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('"')
      response.end(`${'x'.repeat(size)}"`)
    }
    const headers = { authorization: gateway.authorization() }
    expect((await gateway.call(`/api/things/${thingId}`, { headers })).text.length).toBe(size + 2)
  })
})
