import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { Type } from 'typebox'
import { AppError, defineRoute } from '@wattle/contracts'
import { addRoute, createClient, type CallContext } from '@wattle/service'
import { eventually } from '@wattle/testkit'
import { addNoteRoutes, ask, note, noteId, noteRoutes, startApp } from './support.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

function clientFor(baseUrl: string, options: Partial<Parameters<typeof createClient>[1]> = {}) {
  const client = createClient(noteRoutes, {
    baseUrl,
    service: 'notes',
    random: () => 0.1,
    ...options,
  })
  cleanups.push(() => client.close())
  return client
}

/** A bare HTTP server that answers as the test says, and counts. */
async function serve(
  answer: (request: IncomingMessage, response: ServerResponse, nth: number) => void,
) {
  const seen = { requests: 0, connections: 0 }
  const server = createServer((request, response) => answer(request, response, ++seen.requests))
  server.on('connection', () => seen.connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

function json(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(JSON.stringify(body))
}

function problem(response: ServerResponse, status: number, code: string, headers = {}): void {
  const body = { type: 'x', title: 'x', status, code, detail: 'The detail.', requestId: 'req_1' }
  json(response, status, body, { 'content-type': 'application/problem+json', ...headers })
}

function failureOf(call: Promise<unknown>): Promise<AppError> {
  return call.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => {
      if (error instanceof AppError) return error
      throw error
    },
  )
}

function contextWith(remainingMs: number): CallContext & { controller: AbortController } {
  const controller = new AbortController()
  const endsAtMs = performance.now() + remainingMs
  return {
    id: 'req_0123456789',
    trace: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), flags: '01' },
    deadline: {
      remainingMs: () => Math.max(0, endsAtMs - performance.now()),
      signal: controller.signal,
    },
    controller,
  }
}

describe('a client', () => {
  test('calls the routes of a contract with typed input and output', async () => {
    await using service = await startApp(addNoteRoutes)
    const client = clientFor(service.url)
    expect(await client.getNote({ params: { noteId } })).toEqual(note)
    expect(await client.listNotes()).toEqual({ items: [note], received: { limit: 20 } })
    const listed = await client.listNotes({ query: { limit: 3, tag: ['a b', 'c&d'], open: false } })
    expect(listed.received).toEqual({ limit: 3, tag: ['a b', 'c&d'], open: false })
    expect((await client.writeNote({ body: { title: 'ü' } })).title).toBe('ü')
    expect(await client.removeNote({ params: { noteId } }, { token: 'usr_1' })).toBeUndefined()
  })

  test('hands on the request id, the trace, the token, and what is left of the time', async () => {
    let headers: IncomingMessage['headers'] = {}
    const { url } = await serve((request, response) => {
      headers = request.headers
      json(response, 200, note)
    })
    await clientFor(url).getNote(
      { params: { noteId } },
      { context: contextWith(1_000), token: 'abc', idempotencyKey: 'key-1' },
    )
    expect(headers).toMatchObject({
      'x-request-id': 'req_0123456789',
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
      authorization: 'Bearer abc',
      'idempotency-key': 'key-1',
    })
    const budgetMs = Number(headers['x-deadline-ms'])
    expect(budgetMs).toBeGreaterThan(500)
    expect(budgetMs).toBeLessThan(1_000)
  })

  test('keeps its connections', async () => {
    const { url, seen } = await serve((_request, response) => json(response, 200, note))
    const client = clientFor(url, { maxConnections: 2 })
    for (let i = 0; i < 5; i++) await client.getNote({ params: { noteId } })
    await Promise.all(Array.from({ length: 20 }, () => client.getNote({ params: { noteId } })))
    expect(seen).toEqual({ requests: 25, connections: 2 })
  })

  test('cannot be led out of its path by a parameter', async () => {
    const paths: unknown[] = []
    const { url } = await serve((request, response) => {
      paths.push(request.url)
      json(response, 200, note)
    })
    const client = clientFor(`${url}/base/`)
    for (const id of ['../admin', 'a/b', 'a?b=c', 'a#b', '%2e%2e', 'ü\r\nx: y', '\ud800']) {
      await client.getNote({ params: { noteId: id as typeof noteId } })
    }
    expect(paths).toEqual([
      '/base/notes/..%2Fadmin',
      '/base/notes/a%2Fb',
      '/base/notes/a%3Fb%3Dc',
      '/base/notes/a%23b',
      '/base/notes/%252e%252e',
      '/base/notes/%C3%BC%0D%0Ax%3A%20y',
      '/base/notes/%EF%BF%BD',
    ])
    for (const id of ['.', '..', '']) {
      const error = await failureOf(client.getNote({ params: { noteId: id as typeof noteId } }))
      expect(error.code).toBe('VALIDATION_FAILED')
    }
  })
})

describe('what a service answers', () => {
  test('as a problem document becomes the error it threw, with its fields', async () => {
    await using service = await startApp(addNoteRoutes)
    const error = await failureOf(clientFor(service.url).listNotes({ query: { limit: 500 } }))
    expect(error).toMatchObject({
      code: 'VALIDATION_FAILED',
      message: 'query.limit must be at most 100.',
    })
    expect(error.fields).toEqual([{ in: 'query', field: 'limit', problem: 'must be at most 100' }])
  })

  test('as its own failure becomes BAD_GATEWAY, and its words stay in the cause', async () => {
    const { url } = await serve((_request, response) => problem(response, 500, 'INTERNAL'))
    const error = await failureOf(clientFor(url).writeNote({ body: { title: 'x' } }))
    expect(error).toMatchObject({ code: 'BAD_GATEWAY', message: 'The notes service failed.' })
    expect(String(error.cause)).toContain('notes.writeNote answered 500 INTERNAL: The detail.')
  })

  test.each<[string, (response: ServerResponse) => void]>([
    ['a field of another type', (response) => json(response, 200, { ...note, amountMinor: '125' })],
    ['a missing field', (response) => json(response, 200, { id: noteId })],
    [
      'no JSON',
      (response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"id":'),
    ],
    [
      'a page',
      (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
    ],
    ['a status that the contract does not have', (response) => json(response, 202, note)],
    [
      'a redirect',
      (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    ],
    [
      'a page as its error',
      (response) => response.writeHead(500, { 'content-type': 'text/html' }).end('<html>'),
    ],
    ['an unknown code', (response) => problem(response, 418, 'TEAPOT')],
    [
      'a malformed problem document',
      (response) =>
        json(
          response,
          400,
          { code: 'BAD_REQUEST' },
          { 'content-type': 'application/problem+json' },
        ),
    ],
    ['far too much', (response) => json(response, 200, { ...note, title: 'a'.repeat(3_000_000) })],
  ])('that is no reply of the contract (%s) becomes BAD_GATEWAY', async (_name, answer) => {
    const { url } = await serve((_request, response) => answer(response))
    const error = await failureOf(clientFor(url).getNote({ params: { noteId } }))
    expect(error).toMatchObject({
      code: 'BAD_GATEWAY',
      message: 'The notes service answered wrongly.',
    })
    expect(String(error.cause)).toContain('notes.getNote')
  })

  test('that is no HTTP becomes BAD_GATEWAY', async () => {
    const server = createTcpServer((socket) => socket.end('hello\r\n\r\n')).listen(0, '127.0.0.1')
    cleanups.push(() => server.close())
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    expect((await failureOf(clientFor(url).getNote({ params: { noteId } }))).code).toBe(
      'BAD_GATEWAY',
    )
  })
})

describe('a retry', () => {
  test('follows a reset connection, 502 or 503 of a GET, twice at most', async () => {
    const { url, seen } = await serve((request, response, nth) => {
      if (nth === 1) request.socket.resetAndDestroy()
      else if (nth === 2) response.writeHead(503).end()
      else json(response, 200, note)
    })
    expect(await clientFor(url).getNote({ params: { noteId } })).toEqual(note)
    expect(seen.requests).toBe(3)

    const failing = await serve((_request, response) => problem(response, 502, 'BAD_GATEWAY'))
    expect((await failureOf(clientFor(failing.url).getNote({ params: { noteId } }))).code).toBe(
      'BAD_GATEWAY',
    )
    expect(failing.seen.requests).toBe(3)
  })

  test('never follows a POST: it may have happened', async () => {
    const { url, seen } = await serve((request) => request.socket.resetAndDestroy())
    const error = await failureOf(clientFor(url).writeNote({ body: { title: 'x' } }))
    expect(error).toMatchObject({
      code: 'UNAVAILABLE',
      message: 'The notes service cannot be reached at the moment.',
    })
    expect(seen.requests).toBe(1)
  })

  test('does not follow a service that says when to come back, nor an error of the caller', async () => {
    const busy = await serve((_request, response) =>
      problem(response, 503, 'UNAVAILABLE', { 'retry-after': '2' }),
    )
    const error = await failureOf(clientFor(busy.url).getNote({ params: { noteId } }))
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryAfterSeconds: 2 })
    expect(busy.seen.requests).toBe(1)
    const absent = await serve((_request, response) => problem(response, 404, 'NOT_FOUND'))
    expect((await failureOf(clientFor(absent.url).getNote({ params: { noteId } }))).code).toBe(
      'NOT_FOUND',
    )
    expect(absent.seen.requests).toBe(1)
  })

  test('is not begun when the time left is shorter than its wait', async () => {
    const { url, seen } = await serve((_request, response) => response.writeHead(503).end())
    const client = clientFor(url, { random: () => 20 })
    const startMs = performance.now()
    await failureOf(client.getNote({ params: { noteId } }, { timeoutMs: 1_000 }))
    expect(seen.requests).toBe(1)
    expect(performance.now() - startMs).toBeLessThan(900)
  })

  test('reaches a service that is started again', async () => {
    const first = await startApp(addNoteRoutes)
    const { port } = first
    await first.app.close()
    const client = clientFor(first.url, { random: () => 1 })
    const call = client.getNote({ params: { noteId } })
    const holder = await serveOn(port)
    expect(await call).toEqual(note)
    holder.close()
  })
})

async function serveOn(port: number) {
  const server = createServer((_request, response) =>
    json(response, 200, note, { connection: 'close' }),
  )
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}

describe('a call', () => {
  test('never waits longer than its context has left', async () => {
    const { url } = await serve(() => undefined)
    const startMs = performance.now()
    const error = await failureOf(
      clientFor(url).getNote({ params: { noteId } }, { context: contextWith(150) }),
    )
    expect(error).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: 'The notes service did not answer in time.',
    })
    expect(performance.now() - startMs).toBeLessThan(1_000)
  })

  test('to a server that stops in the middle of its reply ends in time too', async () => {
    const { url } = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"id":')
    })
    expect(
      (await failureOf(clientFor(url).getNote({ params: { noteId } }, { timeoutMs: 150 }))).code,
    ).toBe('DEADLINE_EXCEEDED')
  })

  test('to a server that takes connections and says nothing ends in time too', async () => {
    const sockets: Socket[] = []
    const server = createTcpServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1')
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    expect(
      (await failureOf(clientFor(url).getNote({ params: { noteId } }, { timeoutMs: 150 }))).code,
    ).toBe('DEADLINE_EXCEEDED')
  })

  test('is not even begun with no time left', async () => {
    const { url, seen } = await serve((_request, response) => json(response, 200, note))
    expect(
      (await failureOf(clientFor(url).getNote({ params: { noteId } }, { context: contextWith(0) })))
        .code,
    ).toBe('DEADLINE_EXCEEDED')
    expect(seen.requests).toBe(0)
  })

  test('ends when its caller goes away', async () => {
    const arrived = Promise.withResolvers<void>()
    const gone = Promise.withResolvers<void>()
    const { url } = await serve((request) => {
      arrived.resolve()
      request.on('close', () => gone.resolve())
    })
    const context = contextWith(5_000)
    const error = failureOf(clientFor(url).getNote({ params: { noteId } }, { context }))
    await arrived.promise
    context.controller.abort()
    expect((await error).code).toBe('DEADLINE_EXCEEDED')
    await gone.promise
  })

  test('beyond the bound on calls under way is refused at once', async () => {
    const held: ServerResponse[] = []
    const { url } = await serve((_request, response) => void held.push(response))
    const client = clientFor(url, { maxConcurrent: 2 })
    const calls = [client.getNote({ params: { noteId } }), client.getNote({ params: { noteId } })]
    const error = await failureOf(client.getNote({ params: { noteId } }))
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryAfterSeconds: 1 })
    await eventually(() => expect(held).toHaveLength(2))
    for (const response of held) json(response, 200, note)
    expect(await Promise.all(calls)).toEqual([note, note])
  })
})

test('deadlines shrink along a chain of services, and the last one is told to stop', async () => {
  const relay = defineRoute({
    name: 'relay',
    method: 'GET',
    path: '/relay',
    summary: 'x',
    auth: 'public',
    deadlineMs: 2_000,
    replies: { 200: Type.Object({ budgets: Type.Array(Type.Number()) }) },
  })
  const stopped = Promise.withResolvers<void>()
  await using last = await startApp((app) => {
    addRoute(app, relay, async ({ request }) => {
      request.deadline.signal.addEventListener('abort', () => stopped.resolve())
      if (request.headers['x-deadline-ms'] !== undefined && request.deadline.remainingMs() < 400)
        await delay(5_000)
      return { budgets: [request.deadline.remainingMs()] }
    })
  })
  const toLast = createClient({ relay }, { baseUrl: last.url, service: 'last' })
  cleanups.push(() => toLast.close())
  await using first = await startApp((app) => {
    addRoute(app, relay, async ({ request }) => {
      const mine = request.deadline.remainingMs()
      const { budgets } = await toLast.relay({}, { context: request })
      return { budgets: [mine, ...budgets] }
    })
  })
  const { text, headers } = await ask(`${first.url}/relay`, {
    headers: { 'x-request-id': 'chain-0123456789' },
  })
  const [mine = 0, theirs = 0] = (JSON.parse(text) as { budgets: number[] }).budgets
  expect(theirs).toBeLessThan(mine)
  expect(headers.get('x-request-id')).toBe('chain-0123456789')
  await eventually(() => {
    const [there] = last.lines.filter(({ route }) => route === '/relay')
    const [here] = first.lines.filter(({ route }) => route === '/relay')
    expect(there).toMatchObject({ requestId: 'chain-0123456789', traceId: here?.['traceId'] })
  })

  const late = await ask(`${first.url}/relay`, { headers: { 'x-deadline-ms': '300' } })
  expect(late.status).toBe(504)
  await stopped.promise
})
