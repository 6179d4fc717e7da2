import { once } from 'node:events'
import { request as httpRequest, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { eventually } from '@wattle/testkit'
import { describe, expect, test } from 'vitest'
import { json, startForTest, type Fixture } from './fixture.ts'

const post = (gateway: Fixture) =>
  gateway.call('/api/things', {
    method: 'POST',
    headers: { authorization: gateway.authorization(), 'content-type': 'application/json' },
    body: '{}',
  })

describe('S0 a service that is down', () => {
  test('is 503 with Retry-After, in a problem document that tells no address', async () => {
    const gateway = await startForTest()
    await gateway.stopUpstream()
    for (const reply of [await gateway.call('/api/open'), await post(gateway)]) {
      expect(reply.status).toBe(503)
      expect(reply.headers['retry-after']).toBe('1')
      expect(reply.headers['content-type']).toMatch('application/problem+json')
      expect(reply.json()).toMatchObject({ code: 'UNAVAILABLE' })
      expect(reply.text).not.toMatch(/ECONN|127\.0\.0\.1|undici|\\n\s+at /)
    }
  })

  test('leaves the gateway ready, and is named in /readyz', async () => {
    const gateway = await startForTest()
    gateway.answer = json({ status: 'alive' })
    expect((await gateway.call('/readyz')).json()).toMatchObject({ checks: { fixture: 'ok' } })
    await gateway.stopUpstream()
    const reply = await gateway.call('/readyz')
    expect(reply.status).toBe(200)
    expect(reply.json()).toMatchObject({ checks: { fixture: 'degraded' } })
  })

  test('costs nobody a request when it closes an idle connection', async () => {
    const gateway = await startForTest()
    for (let n = 0; n < 20; n++) {
      expect((await gateway.call('/api/open')).status).toBe(200)
      for (const socket of gateway.sockets) socket.destroy()
    }
  })
})

describe('S0 a service that is slow', () => {
  test('is 504 within the deadline of the route', async () => {
    const gateway = await startForTest()
    gateway.answer = () => undefined
    const startedMs = performance.now()
    const reply = await gateway.call('/api/hasty')
    expect(performance.now() - startedMs).toBeLessThan(3_000)
    expect([reply.status, reply.json()['code']]).toEqual([504, 'DEADLINE_EXCEEDED'])
  })

  test('is 504 within the deadline of the client where that is shorter', async () => {
    const gateway = await startForTest()
    gateway.answer = () => undefined
    const startedMs = performance.now()
    const reply = await gateway.call('/api/open', { headers: { 'x-deadline-ms': '150' } })
    expect(performance.now() - startedMs).toBeLessThan(3_000)
    expect(reply.status).toBe(504)
  })

  test('has its request taken back when the time has passed, or the client has gone', async () => {
    const gateway = await startForTest()
    let openRequests = 0
    gateway.answer = (request) => {
      openRequests++
      request.socket.once('close', () => openRequests--)
    }
    await gateway.call('/api/open', { headers: { 'x-deadline-ms': '100' } })
    await eventually(() => expect(openRequests).toBe(0))

    const leaving = new AbortController()
    const call = gateway.call('/api/open', { signal: leaving.signal }).catch(() => 'left')
    await eventually(() => expect(openRequests).toBe(1))
    leaving.abort()
    expect(await call).toBe('left')
    await eventually(() => expect(openRequests).toBe(0))
  })

  test('is cut off when its body does not end in time', async () => {
    const gateway = await startForTest()
    gateway.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"never":')
    }
    await expect(gateway.call('/api/hasty')).rejects.toThrow(/aborted|hang up|ECONNRESET/)
  })

  test('does not keep others waiting: requests past the bound are refused at once', async () => {
    const gateway = await startForTest()
    const held: ServerResponse[] = []
    gateway.answer = (_request, response) => void held.push(response)
    const calls = Array.from({ length: 600 }, () => gateway.call('/api/open'))
    const refused = await Promise.race(calls)
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1'])
    gateway.answer = json({ ok: true })
    for (const response of held) gateway.answer(response.req, response)
    const statuses = Map.groupBy(await Promise.all(calls), ({ status }) => status)
    expect([...statuses.keys()].toSorted((a, b) => a - b)).toEqual([200, 503])
    expect(statuses.get(200)?.length).toBeGreaterThanOrEqual(512)
  })

  test('never gets the requests that were given up in the queue', async () => {
    const gateway = await startForTest()
    const held: ServerResponse[] = []
    gateway.answer = (_request, response) => void held.push(response)
    const first = Array.from({ length: 64 }, () => gateway.call('/api/open'))
    await eventually(() => expect(held).toHaveLength(64))
    const headers = { 'x-deadline-ms': '150' }
    const waiting = Array.from({ length: 100 }, () => gateway.call('/api/open', { headers }))
    for (const { status } of await Promise.all(waiting)) expect(status).toBe(504)
    gateway.answer = json({ ok: true })
    for (const response of held) gateway.answer(response.req, response)
    for (const { status } of await Promise.all(first)) expect(status).toBe(200)
    expect((await gateway.call('/api/open')).status).toBe(200)
    expect(gateway.seen).toHaveLength(65)
  })
})

describe('S0 a service that answers wrongly', () => {
  const bytes = (text: string) => (socket: Socket) => {
    socket.once('data', () => socket.end(text))
  }
  test.each<[string, (socket: Socket) => void]>([
    ['closes without a word', (socket) => void socket.once('data', () => socket.destroy())],
    ['speaks another protocol', bytes('SSH-2.0-OpenSSH_9.2p1\r\n')],
    ['closes inside the headers', bytes('HTTP/1.1 200 OK\r\nContent-Ty')],
    [
      'sends headers above 16 KiB',
      bytes(`HTTP/1.1 200 OK\r\nX-Wide: ${'x'.repeat(99_999)}\r\n\r\n`),
    ],
    [
      'sends two lengths',
      bytes('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'),
    ],
    [
      'upgrades',
      bytes('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
    ],
    ['has no such status', bytes('HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n')],
    [
      'is a web page',
      bytes('HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi'),
    ],
    [
      'redirects',
      bytes('HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n'),
    ],
    [
      'has a status of another contract',
      bytes('HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n'),
    ],
    [
      'fails with a stack trace',
      bytes('HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\n\r\nError: at x.ts'),
    ],
    [
      'is someone else who says 404',
      bytes('HTTP/1.1 404 No\r\nContent-Type: text/html\r\n\r\nnginx'),
    ],
  ])('because it %s is 502', async (_name, onConnection) => {
    const gateway = await startForTest({ onConnection })
    for (const reply of [await post(gateway), await gateway.call('/api/open')]) {
      expect(reply.json()).toMatchObject({ status: 502, code: 'BAD_GATEWAY' })
      expect(reply.status).toBe(502)
      expect(reply.text).not.toMatch(/nginx|Error:|undici|HPE_|127\.0\.0\.1/)
    }
  })

  test('on a connection it dropped while idle, is asked again on another for a read', async () => {
    const ok = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'
    let connections = 0
    const gateway = await startForTest({
      onConnection: (socket) => {
        connections++
        socket.once('data', () => {
          socket.write(ok)
          socket.once('data', () => socket.destroy())
        })
      },
    })
    expect((await gateway.call('/api/open')).status).toBe(200)
    expect((await gateway.call('/api/open')).status).toBe(200)
    expect(connections).toBe(2)
    expect((await post(gateway)).status).toBe(502)
    expect(connections).toBe(2)
  })

  test('after a write that was reset is asked once only: it may have been carried out', async () => {
    let connections = 0
    const gateway = await startForTest({
      onConnection: (socket) => {
        connections++
        socket.once('data', () => socket.destroy())
      },
    })
    expect((await post(gateway)).status).toBe(502)
    expect(connections).toBe(1)
  })

  test('that dies in the middle of a reply leaves the client no whole reply', async () => {
    const gateway = await startForTest()
    gateway.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1_000 })
      response.write('{"half":')
      setImmediate(() => response.destroy())
    }
    await expect(gateway.call('/api/open')).rejects.toThrow(/aborted|hang up|ECONNRESET/)
    gateway.answer = json({ ok: true })
    expect((await gateway.call('/api/open')).status).toBe(200)
  })

  test('that dies while it sends in chunks leaves the client no whole reply', async () => {
    const gateway = await startForTest()
    gateway.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"half":')
      setImmediate(() => response.destroy())
    }
    await expect(gateway.call('/api/open')).rejects.toThrow(/aborted|hang up|ECONNRESET/)
  })

  test('has its own problem documents passed on as they are', async () => {
    const gateway = await startForTest()
    const problem = { type: 'urn:x', title: 't', status: 409, code: 'ACCOUNT_LINKED', detail: 'd' }
    gateway.answer = json(problem, { 'content-type': 'application/problem+json' }, 409)
    const reply = await post(gateway)
    expect([reply.status, reply.json()]).toEqual([409, problem])
  })
})

describe('S0 a client', () => {
  test('one of fifty in parallel gets its own reply', async () => {
    const gateway = await startForTest()
    gateway.answer = (request, response) => {
      setTimeout(() => json({ url: request.url })(request, response), Math.random() * 20)
    }
    const replies = await Promise.all(
      Array.from({ length: 50 * 10 }, async (_, n) => {
        const reply = await gateway.call(`/api/open?n=${n}`)
        return [reply.status, reply.json()['url'], `/open?n=${n}`]
      }),
    )
    for (const [status, got, wanted] of replies) {
      expect(status).toBe(200)
      expect(got).toBe(wanted)
    }
    expect(gateway.sockets.size).toBeLessThanOrEqual(64)
  })

  test('that sends its body slowly holds no connection of a service', async () => {
    const gateway = await startForTest()
    const { hostname, port } = new URL(gateway.url)
    const request = httpRequest({
      hostname,
      port,
      path: '/api/things',
      method: 'POST',
      headers: {
        authorization: gateway.authorization(),
        'content-type': 'application/json',
        'content-length': 100,
      },
    })
    request.on('error', () => undefined)
    request.write('{')
    const [response] = (await once(request, 'response')) as [{ statusCode: number }]
    expect(response.statusCode).toBe(504)
    request.destroy()
    expect(gateway.seen).toEqual([])
    expect(gateway.sockets.size).toBe(0)
  })
})
