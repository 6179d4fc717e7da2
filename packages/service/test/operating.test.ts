import { describe, expect, test } from 'vitest'
import { defineRoute } from '@wattle/contracts'
import { addRoute, createRegistry, drain } from '@wattle/service'
import { Counter } from 'prom-client'
import { eventually } from '@wattle/testkit'
import { addNoteRoutes, ask, Note, note, noteId, postJson, startApp } from './support.ts'

type Probe = { status: string; code: string; detail: string; checks: Record<string, string> }

async function probe(url: string) {
  const { status, text } = await ask(`${url}/readyz`)
  return { status, body: JSON.parse(text) as Probe }
}

describe('M1: /livez and /readyz', () => {
  test('a service without dependencies is alive and ready', async () => {
    await using service = await startApp()
    expect((await ask(`${service.url}/livez`)).status).toBe(200)
    expect(await probe(service.url)).toMatchObject({ status: 200, body: { status: 'ready' } })
  })

  test('a required check that fails makes it unready, by name, and it recovers', async () => {
    let database: unknown = true
    await using service = await startApp(undefined, { checks: { database: async () => database } })
    expect((await probe(service.url)).status).toBe(200)
    database = false
    const { status, body } = await probe(service.url)
    expect(status).toBe(503)
    expect(body).toMatchObject({
      code: 'UNAVAILABLE',
      detail: 'Not ready: database.',
      checks: { database: 'failed' },
    })
    expect((await ask(`${service.url}/livez`)).status).toBe(200)
    database = true
    expect((await probe(service.url)).status).toBe(200)
    const changes = service.lines.filter(({ check }) => check === 'database').map(({ msg }) => msg)
    expect(changes).toEqual(['readiness check fails', 'readiness check passes again'])
  })

  test('a service stays ready without Redis', async () => {
    await using service = await startApp(undefined, {
      checks: {
        database: async () => 'up',
        redis: {
          required: false,
          check: () => Promise.reject(new Error('redis://:secret@h is away')),
        },
      },
    })
    const { status, body } = await probe(service.url)
    expect(status).toBe(200)
    expect(body.checks).toEqual({ database: 'ok', redis: 'degraded' })
    expect(JSON.stringify(body)).not.toContain('away')
  })

  test('a check that hangs fails after its time-out, and hands its signal down', async () => {
    let aborted: AbortSignal | undefined
    await using service = await startApp(undefined, {
      checks: {
        database: {
          timeoutMs: 50,
          check: (signal) => {
            aborted = signal
            return new Promise(() => undefined)
          },
        },
      },
    })
    expect((await probe(service.url)).status).toBe(503)
    expect(aborted?.aborted).toBe(true)
  })

  test('a check that throws where it stands only fails', async () => {
    await using service = await startApp(undefined, {
      checks: {
        broken: () => {
          throw new Error('no')
        },
      },
    })
    expect((await probe(service.url)).status).toBe(503)
  })

  test('probes that come together share one run of the checks', async () => {
    let runs = 0
    const answer = Promise.withResolvers<void>()
    await using service = await startApp(undefined, {
      checks: {
        database: () => {
          runs++
          return answer.promise
        },
      },
    })
    const probes = Array.from({ length: 20 }, () => probe(service.url))
    await eventually(() => expect(runs).toBe(1))
    answer.resolve()
    await Promise.all(probes)
    expect(runs).toBeLessThanOrEqual(20)
  })

  test('a service that is about to stop is unready while it still serves, and closes connections', async () => {
    const service = await startApp(addNoteRoutes, { env: { WATTLE_LAME_DUCK_MS: '300' } })
    const drained = drain(service.app)
    const { status, body } = await probe(service.url)
    expect([status, body.detail]).toEqual([503, 'This process is about to stop.'])
    const answer = await ask(`${service.url}/notes`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('connection')).toBe('close')
    expect((await ask(`${service.url}/nothing`)).headers.get('connection')).toBe('close')
    expect(await drained).toBe(true)
    await expect(fetch(`${service.url}/livez`)).rejects.toThrow('fetch failed')
  })
})

/** The value of the first sample with at least these labels. */
function sample(text: string, name: string, labels: Record<string, string>): number | undefined {
  const line = text
    .split('\n')
    .filter((candidate) => candidate.startsWith(`${name}{`))
    .find((candidate) =>
      Object.entries(labels).every(([label, value]) => candidate.includes(`${label}="${value}"`)),
    )
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

describe('M1: /metrics', () => {
  test('counts and times requests by method, route pattern and status', async () => {
    await using service = await startApp(addNoteRoutes)
    await ask(`${service.url}/notes/${noteId}`)
    await ask(`${service.url}/notes/wrong`)
    await ask(`${service.url}/a/${noteId}`)
    await ask(`${service.url}/b/${noteId}`)
    await postJson(`${service.url}/notes`, '{"title":"x"}')
    await eventually(async () => {
      const { text } = await ask(`${service.url}/metrics`)
      const total = (method: string, route: string, status: string) =>
        sample(text, 'wattle_http_requests_total', { service: 'notes', method, route, status })
      expect(total('GET', '/notes/:noteId', '200')).toBe(1)
      expect(total('GET', '/notes/:noteId', '400')).toBe(1)
      expect(total('POST', '/notes', '201')).toBe(1)
      expect(total('GET', 'unmatched', '404')).toBe(2)
      expect(
        sample(text, 'wattle_http_request_seconds_count', {
          route: '/notes/:noteId',
          status: '200',
        }),
      ).toBe(1)
      expect(text.includes('process_resident_memory_bytes')).toBe(true)
    })
  })

  test('holds what other packages registered, and two services in one process keep apart', async () => {
    const registry = createRegistry('notes')
    new Counter({ name: 'wattle_cache_requests_total', help: 'x', registers: [registry] }).inc(5)
    await using service = await startApp(addNoteRoutes, { registry })
    await using other = await startApp(addNoteRoutes)
    expect((await ask(`${service.url}/metrics`)).text).toContain(
      'wattle_cache_requests_total{service="notes"} 5',
    )
    expect((await ask(`${other.url}/metrics`)).text).not.toContain('wattle_cache')
  })
})

describe('M1: /openapi.json', () => {
  test('describes the contracts in OpenAPI 3.1: inputs, replies, errors as problem documents, who may call', async () => {
    await using service = await startApp(addNoteRoutes)
    const { headers, text } = await ask(`${service.url}/openapi.json`)
    expect(headers.get('content-type')).toContain('application/json')
    const document = JSON.parse(text) as {
      openapi: string
      info: unknown
      paths: Record<string, Record<string, Record<string, unknown>>>
      components: { schemas: object; securitySchemes: object }
    }
    expect(document.openapi).toBe('3.1.0')
    expect(document.info).toMatchObject({ title: 'Wattle notes', version: '1.2.3' })
    expect(Object.keys(document.paths).toSorted()).toEqual(['/notes', '/notes/{noteId}'])
    expect(document.components.schemas).toHaveProperty('ProblemDocument')
    expect(document.components.securitySchemes).toHaveProperty('bearer')

    const write = document.paths['/notes']?.['post']
    expect(write).toMatchObject({
      operationId: 'writeNote',
      summary: 'Write a note',
      security: [],
      requestBody: {
        content: {
          'application/json': { schema: { additionalProperties: false, required: ['title'] } },
        },
      },
      responses: {
        201: { content: { 'application/json': { schema: { type: 'object' } } } },
        400: {
          content: {
            'application/problem+json': {
              schema: { $ref: '#/components/schemas/ProblemDocument' },
            },
          },
        },
      },
    })
    const read = document.paths['/notes/{noteId}']?.['get']
    expect(read).toMatchObject({ parameters: [{ in: 'path', name: 'noteId', required: true }] })
    expect(read?.['responses']).toHaveProperty('404')
    expect(document.paths['/notes/{noteId}']?.['delete']).toMatchObject({
      security: [{ bearer: [] }],
    })
  })
})

test('/openapi.json shows a required Idempotency-Key, the prefix and the tag of a route', async () => {
  const pay = defineRoute({
    name: 'pay',
    method: 'POST',
    path: '/payments',
    summary: 'x',
    auth: 'public',
    idempotencyKey: 'required',
    replies: { 200: Note },
  })
  await using service = await startApp((app) =>
    addRoute(app, pay, () => note, { prefix: '/api', tag: 'payment' }),
  )
  const { paths } = JSON.parse((await ask(`${service.url}/openapi.json`)).text) as {
    paths: unknown
  }
  expect(paths).toMatchObject({
    '/api/payments': {
      post: {
        tags: ['payment'],
        parameters: [{ in: 'header', name: 'Idempotency-Key', required: true }],
      },
    },
  })
  expect((await ask(`${service.url}/api/payments`, { method: 'POST' })).status).toBe(200)
})

describe('a busy process', () => {
  test('does not hold its start against the first requests', async () => {
    await using service = await startApp(
      (app) => {
        addNoteRoutes(app)
        app.addHook('onReady', async () => {
          const end = performance.now() + 1_100
          while (performance.now() < end);
        })
      },
      { maxEventLoopDelayMs: 20 },
    )
    for (let n = 0; n < 20; n++) expect((await ask(`${service.url}/notes`)).status).toBe(200)
  })

  test('refuses work with 503 and Retry-After while its event loop lags, but still answers probes', async () => {
    await using service = await startApp(
      (app) => {
        addNoteRoutes(app)
        app.get('/block', () => {
          const end = performance.now() + 400
          while (performance.now() < end);
          return {}
        })
      },
      { maxEventLoopDelayMs: 20 },
    )
    await eventually(
      async () => {
        await ask(`${service.url}/block`)
        const { status, headers, problem } = await ask(`${service.url}/notes`)
        expect(status).toBe(503)
        expect(problem.code).toBe('UNAVAILABLE')
        expect(headers.get('retry-after')).toBe('2')
        expect((await ask(`${service.url}/livez`)).status).toBe(200)
      },
      { withinMs: 15_000 },
    )
    await eventually(async () => expect((await ask(`${service.url}/notes`)).status).toBe(200), {
      withinMs: 10_000,
    })
  })
})
