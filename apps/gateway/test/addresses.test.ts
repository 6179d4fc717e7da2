import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startFixture, thingId, type Fixture } from './fixture.ts'

let gateway: Fixture
beforeAll(async () => {
  gateway = await startFixture()
})
beforeEach(() => {
  gateway.seen.length = 0
})
afterAll(() => gateway.stop())

const asPerson = (extra: Record<string, string> = {}) => ({
  headers: { authorization: gateway.authorization(), ...extra },
})

describe('S0 what is not listed cannot be reached', () => {
  test.each([
    '/open',
    '/api',
    '/api/',
    '/api/open/',
    '/api//open',
    '//api/open',
    '//open',
    '/API/open',
    '/api/OPEN',
    '/api/metrics',
    '/api/livez',
    '/api/readyz',
    '/api/openapi.json',
    '/api/.well-known/jwks.json',
    '/api/inside',
    '/api/things/../inside',
    '/api/../metrics',
    '/api/..%2fmetrics',
    '/api/%2e%2e/metrics',
    '/api/%2e%2e%2fmetrics',
    '/api/..;/metrics',
    '/api/open/..%2f..%2fmetrics',
    '/api/open%2f..%2finside',
    '/api/open%00',
    '/api/open%2f',
    '/api/./open',
    '/api/open/.',
    '/api\\open',
    '/api/open;/../inside',
    '/%61pi/%69nside',
    '/api/%69nside',
    '/api/inside?x=/api/open',
    '/api/things/x/y',
    'http://127.0.0.1/inside',
    '/api/http://127.0.0.1/inside',
    '/api/@evil.example/',
  ])('%s is 404', async (path) => {
    const reply = await gateway.call(path, asPerson())
    expect(reply.status).toBe(404)
    expect(reply.json()).toMatchObject({ code: 'NOT_FOUND' })
    expect(gateway.seen).toEqual([])
  })

  test.each([
    ['/api/things/..', 'a dot segment'],
    ['/api/things/%2e%2e', 'an encoded dot segment'],
    ['/api/things/..%2finside', 'an encoded slash'],
    ['/api/things/%2e%2e%2finside', 'both'],
    ['/api/things/%252e%252e%252finside', 'both, twice'],
    [`/api/things/${thingId}%2f..%2f..%2finside`, 'a good id and then some'],
    [`/api/things/${thingId}%3fx=1`, 'an encoded question mark'],
    [`/api/things/${thingId}%23`, 'an encoded hash'],
    [`/api/things/${thingId}%0d%0aX-Injected:%201`, 'line breaks'],
    [`/api/things/${thingId}%00`, 'a NUL'],
  ])('%s is 400 and names the parameter: %s', async (path) => {
    const reply = await gateway.call(path, asPerson())
    expect(reply.status).toBe(400)
    expect(reply.json()).toMatchObject({ errors: [{ in: 'params', field: 'thingId' }] })
    expect(gateway.seen).toEqual([])
  })

  test('a malformed percent-encoding is 400', async () => {
    for (const path of ['/api/things/%', '/api/%zz', '/api/things/%c3%28']) {
      const reply = await gateway.call(path, asPerson())
      expect(reply.status).toBe(400)
    }
    expect(gateway.seen).toEqual([])
  })

  test('a route for services is reached neither as a person nor as an operator', async () => {
    for (const roles of [[], ['operator'], ['service']]) {
      const headers = { authorization: gateway.authorization(roles) }
      const reply = await gateway.call('/api/inside', { method: 'POST', headers, body: '{}' })
      expect(reply.status).toBe(404)
    }
    expect(gateway.seen).toEqual([])
  })

  test('an address that a router could read in two ways arrives as it was matched', async () => {
    const path = `/api/things/${thingId.replace('b', '%62')}?next=/../inside`
    expect((await gateway.call(path, asPerson())).status).toBe(200)
    expect(gateway.seen[0]?.url).toBe(`/things/${thingId}?next=/../inside`)
  })
})

describe('S0 methods', () => {
  test.each([
    ['POST', '/api/open', 'GET, HEAD, OPTIONS'],
    ['DELETE', `/api/things/${thingId}`, 'GET, HEAD, OPTIONS'],
    ['GET', '/api/things', 'OPTIONS, POST'],
    ['PUT', '/api/things', 'OPTIONS, POST'],
    ['TRACE', '/api/open', 'GET, HEAD, OPTIONS'],
  ])('%s %s is 405 and says what is allowed', async (method, path, allow) => {
    const reply = await gateway.call(path, { method, ...asPerson() })
    expect(reply.status).toBe(405)
    expect(reply.headers['allow']).toBe(allow)
    expect(reply.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED' })
    expect(gateway.seen).toEqual([])
  })

  test('HEAD is GET without a body', async () => {
    gateway.answer = (request, response) => {
      const body = JSON.stringify({ ok: true })
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': body.length,
        etag: '"abc"',
      })
      response.end(request.method === 'HEAD' ? undefined : body)
    }
    const head = await gateway.call('/api/open', { method: 'HEAD' })
    const get = await gateway.call('/api/open')
    expect(gateway.seen.map(({ method }) => method)).toEqual(['HEAD', 'GET'])
    expect([head.status, head.text]).toEqual([200, ''])
    for (const name of ['etag', 'content-type', 'content-length']) {
      expect(head.headers[name]).toBe(get.headers[name])
    }
  })

  test('OPTIONS says what an address takes, without asking the service', async () => {
    const reply = await gateway.call('/api/things', { method: 'OPTIONS' })
    expect([reply.status, reply.headers['allow']]).toEqual([204, 'OPTIONS, POST'])
    expect(reply.headers).not.toHaveProperty('access-control-allow-origin')
    expect((await gateway.call('/api/nothing', { method: 'OPTIONS' })).status).toBe(404)
    expect(gateway.seen).toEqual([])
  })
})

describe('S0 limits', () => {
  const type = { 'content-type': 'application/json' }

  test('a body above 64 KiB is 413, also when its length is not said', async () => {
    const body = `"${'x'.repeat(64 * 1024)}"`
    const chunked = { ...type, 'transfer-encoding': 'chunked' }
    for (const headers of [type, chunked]) {
      const init = { method: 'POST', ...asPerson(headers), body }
      const reply = await gateway.call('/api/things', init)
      expect(reply.status).toBe(413)
      expect(reply.json()).toMatchObject({ code: 'PAYLOAD_TOO_LARGE' })
    }
    expect(gateway.seen).toEqual([])
  })

  test('a body of another type is left to the service to judge, byte by byte', async () => {
    const body = Buffer.from([0, 255, 254, 10, 13])
    const headers = { ...asPerson().headers, 'content-type': 'application/octet-stream' }
    await gateway.call('/api/things', { method: 'POST', headers, body })
    expect(gateway.seen[0]?.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '5',
    })
  })

  test('an address or headers that are too long are refused', async () => {
    const long = await gateway.call(`/api/open?x=${'x'.repeat(9_000)}`)
    expect([long.status, long.json()['code']]).toEqual([414, 'URI_TOO_LONG'])
    const wide = await gateway.call('/api/open', { headers: { 'x-wide': 'x'.repeat(20_000) } })
    expect([wide.status, wide.json()['code']]).toEqual([431, 'HEADERS_TOO_LARGE'])
    expect(gateway.seen).toEqual([])
  })
})
