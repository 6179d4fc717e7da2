import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  addNoteRoutes,
  ask,
  note,
  parseRaw,
  postJson,
  sendRaw,
  startApp,
  type TestApp,
} from './support.ts'

let service: TestApp
beforeAll(async () => {
  service = await startApp(addNoteRoutes)
})
afterAll(() => service.app.close())

function request(lines: readonly string[], body = ''): string {
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

async function refusal(bytes: string | Uint8Array) {
  const { status, head, problem } = parseRaw(await sendRaw(service.port, bytes))
  expect(head).toMatch(/content-type: application\/problem\+json/i)
  expect(problem.status).toBe(status)
  expect(problem.requestId).toMatch(/^req_/)
  expect(problem.detail).not.toBe('')
  expect(head.toLowerCase()).toContain(`x-request-id: ${problem.requestId}`)
  return { status, code: problem.code, head, problem }
}

const closing = ['Host: x', 'Connection: close']

describe('what is no HTTP is answered with a problem document', () => {
  test.each([
    ['nonsense', 'hello there\r\n\r\n'],
    ['an unknown method', request(['BREW /notes HTTP/1.1', ...closing])],
    ['a method in lower case', request(['get /notes HTTP/1.1', ...closing])],
    ['a header without a colon', request(['GET /notes HTTP/1.1', 'Host x', 'Connection: close'])],
    [
      'a space before the colon',
      request(['GET /notes HTTP/1.1', ...closing, 'Content-Length : 1']),
    ],
    ['a NUL in a header', request(['GET /notes HTTP/1.1', ...closing, 'X-Note: a\0b'])],
    ['a bare line feed in a header', request(['GET /notes HTTP/1.1', ...closing, 'X-Note: a\rb'])],
    ['a negative length', request(['POST /notes HTTP/1.1', ...closing, 'Content-Length: -1'])],
    [
      'two lengths',
      request(['POST /notes HTTP/1.1', ...closing, 'Content-Length: 1', 'Content-Length: 2'], 'ab'),
    ],
    [
      'length and chunks together',
      request(
        ['POST /notes HTTP/1.1', ...closing, 'Content-Length: 4', 'Transfer-Encoding: chunked'],
        '0\r\n\r\n',
      ),
    ],
    [
      'an odd transfer encoding',
      request(
        ['POST /notes HTTP/1.1', ...closing, 'Transfer-Encoding: chunked, identity'],
        '0\r\n\r\n',
      ),
    ],
    [
      'a malformed chunk',
      request(
        [
          'POST /notes HTTP/1.1',
          ...closing,
          'Content-Type: application/json',
          'Transfer-Encoding: chunked',
        ],
        'zz\r\n{}\r\n0\r\n\r\n',
      ),
    ],
    ['no Host', request(['GET /notes HTTP/1.1', 'Connection: close'])],
    ['an unknown expectation', request(['GET /notes HTTP/1.1', ...closing, 'Expect: a-cookie'])],
  ])('%s', async (_name, bytes) => {
    expect(await refusal(bytes)).toMatchObject({ status: 400, code: 'BAD_REQUEST' })
  })

  test('bytes that are TLS', async () => {
    const hello = new Uint8Array([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03])
    expect((await refusal(hello)).status).toBe(400)
  })

  test('headers of more than 16 KiB: 431, which says how much is allowed', async () => {
    const bytes = request(['GET /notes HTTP/1.1', ...closing, `X-Note: ${'a'.repeat(100_000)}`])
    const { status, problem } = await refusal(bytes)
    expect(status).toBe(431)
    expect(problem.code).toBe('HEADERS_TOO_LARGE')
    expect(problem.detail).toContain('16384')
  })

  test('an address of more than 8 KiB: 414', async () => {
    const bytes = request([`GET /notes?tag=${'a'.repeat(9_000)} HTTP/1.1`, ...closing])
    expect(await refusal(bytes)).toMatchObject({ status: 414, code: 'URI_TOO_LONG' })
  })

  test('a path part of more than 1 KiB: 414', async () => {
    const bytes = request([`GET /notes/${'a'.repeat(2_000)} HTTP/1.1`, ...closing])
    expect(await refusal(bytes)).toMatchObject({ status: 414, code: 'URI_TOO_LONG' })
  })

  test.each(['/notes/%zz', '/notes/%', '/notes/%E0%A4%A'])('the address %s: 400', async (path) => {
    expect(await refusal(request([`GET ${path} HTTP/1.1`, ...closing]))).toMatchObject({
      status: 400,
      code: 'BAD_REQUEST',
    })
  })

  test('and does not disturb the next connection', async () => {
    await sendRaw(service.port, 'hello\r\n\r\n')
    expect((await ask(`${service.url}/notes`)).status).toBe(200)
  })

  test('a connection that breaks off in the middle leaves no trace but a log line', async () => {
    const socket = connect(service.port, '127.0.0.1')
    socket.write(
      request(
        [
          'POST /notes HTTP/1.1',
          'Host: x',
          'Content-Type: application/json',
          'Content-Length: 100',
        ],
        '{"title"',
      ),
    )
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.resetAndDestroy()
    expect((await ask(`${service.url}/notes`)).status).toBe(200)
    expect(service.lines.filter(({ level }) => level === 'error')).toEqual([])
  })
})

describe('a body', () => {
  const url = () => `${service.url}/notes`

  test.each([
    ['malformed', '{"title": }', /^The body is not well-formed JSON/],
    ['cut off', '{"title":"x"', /^The body is not well-formed JSON/],
    [
      'followed by more',
      '{"title":"x"}{"title":"y"}',
      /not well-formed JSON \(line 1, column 14\)/,
    ],
    ['with a trailing comma', '{"title":"x",}', /not well-formed JSON \(line 1, column 14\)/],
  ])('that is %s JSON: 400, with the place where it is known', async (_name, body, detail) => {
    const { status, problem } = await postJson(url(), body)
    expect(status).toBe(400)
    expect(problem.code).toBe('BAD_REQUEST')
    expect(problem.detail).toMatch(detail)
    expect(problem.errors).toHaveLength(1)
  })

  test('that is empty: 400', async () => {
    expect((await postJson(url(), '')).problem.detail).toBe('The body is empty; send JSON.')
    const absent = await ask(url(), { method: 'POST' })
    expect(absent.status).toBe(400)
    expect(absent.problem.detail).toBe('The body is missing; send a JSON object.')
  })

  test('that is not UTF-8: 400', async () => {
    const bytes = new Uint8Array([
      ...new TextEncoder().encode('{"title":"'),
      0xff,
      0xfe,
      ...new TextEncoder().encode('"}'),
    ])
    expect((await postJson(url(), bytes)).problem.detail).toBe('The body is not valid UTF-8.')
  })

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'nonsense',
    'application/json-patch+json',
    'text/html, application/json',
  ])('of type %s: 415', async (type) => {
    const { status, problem } = await postJson(url(), '{"title":"x"}', { 'content-type': type })
    expect(status).toBe(415)
    expect(problem).toMatchObject({
      code: 'UNSUPPORTED_MEDIA_TYPE',
      detail: 'Send the body as application/json.',
    })
  })

  test('without a type: 415', async () => {
    const bytes = request(
      ['POST /notes HTTP/1.1', ...closing, 'Content-Length: 13'],
      '{"title":"x"}',
    )
    expect((await refusal(bytes)).status).toBe(415)
  })

  test.each(['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON'])(
    'of type %s is taken',
    async (type) => {
      expect((await postJson(url(), '{"title":"x"}', { 'content-type': type })).status).toBe(201)
    },
  )

  test.each([70_000, 1_000_000, 30_000_000])(
    'of %i bytes: 413, which the client gets to read',
    async (size) => {
      const { status, problem } = await postJson(url(), JSON.stringify({ title: 'a'.repeat(size) }))
      expect(status).toBe(413)
      expect(problem).toMatchObject({
        code: 'PAYLOAD_TOO_LARGE',
        detail: 'The body may have at most 65536 bytes.',
      })
    },
  )

  test('that is too large and comes in chunks: 413', async () => {
    const chunk = `${(1024).toString(16)}\r\n${'a'.repeat(1024)}\r\n`
    const bytes = request(
      [
        'POST /notes HTTP/1.1',
        ...closing,
        'Content-Type: application/json',
        'Transfer-Encoding: chunked',
      ],
      `${chunk.repeat(100)}0\r\n\r\n`,
    )
    expect((await refusal(bytes)).status).toBe(413)
  })

  test('longer than it says does not become the next request unseen', async () => {
    const smuggled = 'GET /notes/admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    const body = '{"title":"x"}'
    const bytes = request(
      [
        'POST /notes HTTP/1.1',
        'Host: x',
        'Content-Type: application/json',
        `Content-Length: ${body.length}`,
      ],
      body + smuggled,
    )
    const answer = await sendRaw(service.port, bytes)
    // Plain pipelining: two requests, two answers, each judged by itself.
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 201', 'HTTP/1.1 400'])
  })
})

test.each([
  ['GET', 'http://elsewhere/notes'],
  ['GET', '*'],
  ['OPTIONS', '*'],
  ['GET', '//notes'],
  ['GET', '/notes/'],
  ['GET', '/notes;a=b'],
  ['GET', '/notes/../notes'],
  ['GET', '/./notes'],
  ['GET', '/notes?%'],
  ['GET', '/notes?&&&=&'],
  ['GET', '/notes#x'],
  ['HEAD', '/notes/%zz'],
  ['PROPFIND', '/notes'],
  ['TRACE', '/notes'],
  ['QUERY', '/notes'],
])('an odd target (%s %s) is no error of ours', async (method, target) => {
  const answer = await sendRaw(service.port, request([`${method} ${target} HTTP/1.1`, ...closing]))
  expect(answer).toMatch(/^HTTP\/1\.1 [24]\d\d /)
})

test('a compressed body: 415', async () => {
  const answer = await postJson(`${service.url}/notes`, '{"title":"x"}', {
    'content-encoding': 'gzip',
  })
  expect(answer.problem).toMatchObject({
    status: 415,
    detail: 'Send the body without Content-Encoding.',
  })
})

test('headers of a request never come back in an answer as headers', async () => {
  const { headers } = await ask(`${service.url}/notes`, {
    headers: { 'x-request-id': 'short', traceparent: 'evil' },
  })
  expect(headers.get('x-request-id')).toMatch(/^req_/)
})

test('an address with a line break in its encoding cannot break a header or the log', async () => {
  const { status } = await ask(`${service.url}/notes/%0d%0aset-cookie:%20a=b`)
  expect(status).toBe(400)
  expect(JSON.stringify(service.lines)).not.toContain('set-cookie')
})

test('an unexpected error is 500 without its text, and the log has it with its causes', async () => {
  await using failing = await startApp((app) => {
    app.get('/fails', () => {
      throw new Error('relation "bills" does not exist', { cause: new Error('the socket closed') })
    })
    app.get('/odd', () => {
      // oxlint-disable-next-line no-throw-literal -- what careless libraries do
      throw { statusCode: 200, message: note }
    })
  })
  const { status, text, problem } = await ask(`${failing.url}/fails`)
  expect(status).toBe(500)
  expect(problem.code).toBe('INTERNAL')
  expect(text).not.toMatch(/relation|stack|\.ts/)
  const line = failing.lines.find(({ msg }) => msg === 'request failed')
  expect(line).toMatchObject({
    requestId: problem.requestId,
    err: { message: 'relation "bills" does not exist', cause: { message: 'the socket closed' } },
  })
  expect((await ask(`${failing.url}/odd`)).status).toBe(500)
})
