import { describe, expect, test } from 'vitest'
import { AppError } from '@wattle/contracts'
import { createLogger } from '@wattle/service'
import { eventually } from '@wattle/testkit'
import { addNoteRoutes, ask, noteId, postJson, startApp, testConfig } from './support.ts'

function logTo(lines: string[], env: Record<string, string> = {}) {
  return createLogger({
    name: 'notes',
    config: testConfig(env),
    destination: { write: (line) => void lines.push(line) },
  })
}

describe('M1: the log', () => {
  test('has one line for each request, with method, route, status, time taken and who asked', async () => {
    await using service = await startApp(addNoteRoutes)
    await ask(`${service.url}/notes/${noteId}?ssn=123`, {
      headers: { authorization: 'Bearer usr_1' },
    })
    await ask(`${service.url}/notes/${noteId}`, {
      method: 'DELETE',
      headers: { authorization: 'Bearer usr_1' },
    })
    await eventually(() =>
      expect(service.lines.filter(({ route }) => route !== undefined)).toHaveLength(2),
    )
    const [refused, removed] = service.lines.filter(({ route }) => route !== undefined)
    expect(refused).toMatchObject({
      level: 'info',
      service: 'notes',
      method: 'GET',
      route: '/notes/:noteId',
      status: 400,
    })
    expect(removed).toMatchObject({ method: 'DELETE', status: 204, userId: 'usr_1' })
    expect(removed?.['durationMs']).toBeTypeOf('number')
    expect(JSON.stringify(service.lines)).not.toMatch(/ssn|evt_/)
  })

  test('says nothing of probes below debug', async () => {
    await using service = await startApp(addNoteRoutes)
    await ask(`${service.url}/livez`)
    await ask(`${service.url}/notes`)
    await eventually(() => expect(JSON.stringify(service.lines)).toContain('"/notes"'))
    expect(JSON.stringify(service.lines)).not.toContain('livez')
  })

  test('has the request and trace id of the caller in every line of a request', async () => {
    await using service = await startApp((app) => {
      app.get('/work', (request) => {
        request.log.warn('halfway')
        return {
          traceId: request.trace.traceId,
          parent: request.trace.parentSpanId,
          spanId: request.trace.spanId,
        }
      })
    })
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const { headers, text } = await ask(`${service.url}/work`, {
      headers: {
        'x-request-id': 'caller-0123456789',
        traceparent: `00-${traceId}-00f067aa0ba902b7-00`,
      },
    })
    expect(headers.get('x-request-id')).toBe('caller-0123456789')
    expect(JSON.parse(text)).toMatchObject({ traceId, parent: '00f067aa0ba902b7' })
    await eventually(() =>
      expect(service.lines.filter(({ requestId }) => requestId !== undefined)).toHaveLength(2),
    )
    for (const line of service.lines.filter(({ requestId }) => requestId !== undefined)) {
      expect(line).toMatchObject({ requestId: 'caller-0123456789', traceId })
    }
  })

  test.each([
    ['x-request-id', 'short'],
    ['x-request-id', 'with space and more'],
    ['x-request-id', 'a'.repeat(65)],
    ['x-request-id', '{"$ne":1}-abcdef'],
  ])('takes no %s of the form %s', async (name, value) => {
    await using service = await startApp(addNoteRoutes)
    const { headers } = await ask(`${service.url}/notes`, { headers: { [name]: value } })
    expect(headers.get('x-request-id')).toMatch(/^req_[0-9a-f-]{36}$/)
  })

  test.each([
    'nonsense',
    '00-00000000000000000000000000000000-00f067aa0ba902b7-01',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01',
    'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    '00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more',
  ])('begins a trace of its own where traceparent is %s', async (traceparent) => {
    await using service = await startApp((app) => app.get('/trace', (request) => request.trace))
    const trace = JSON.parse(
      (await ask(`${service.url}/trace`, { headers: { traceparent } })).text,
    ) as Record<string, string>
    expect(trace['traceId']).toMatch(/^[0-9a-f]{32}$/)
    expect(traceparent).not.toContain(trace['traceId'])
    expect(trace['parentSpanId']).toBeUndefined()
  })

  test('has no secret in it, at whatever depth and by whatever name', () => {
    const lines: string[] = []
    const log = logTo(lines)
    const secret = 'SECRET-9f8e7d6c'
    log.info({
      password: secret,
      nested: {
        list: [{ accessToken: secret }],
        headers: { Authorization: secret, 'set-cookie': [secret] },
      },
    })
    log.info({
      WATTLE_ACCESS_SIGNING_KEY: secret,
      api_key: secret,
      'x-api-key': secret,
      clientSecret: secret,
      credentials: { any: secret },
    })
    log.child({ token: secret }).warn({ passphrase: secret }, 'child')
    log.error({ err: new Error('x', { cause: { password: secret } }) })
    log.error({ err: Object.assign(new Error('x'), { config: { password: secret } }) })
    log.error({ reason: Object.assign(new Error('x'), { config: { data: secret } }) })
    log.error(new Error(`connect to postgres://billing:${secret}@db:5432/billing failed`), 'x')
    log.info(`calling with Authorization: Bearer ${secret}`)
    log.info({ note: `redis+sentinel://cache:${secret}@h1:1,h2:2/cache` })
    log.info(
      `token eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c3JfMSIsInMiOiJTRUNSRVQifQ.c2lnbmF0dXJlLVNFQ1JFVA`,
    )
    log.error({
      err: new AppError('UNAVAILABLE', 'x', {
        cause: new AggregateError([new Error(`amqp://u:${secret}@h`)]),
      }),
    })
    expect(lines).toHaveLength(11)
    for (const line of lines) expect(line).not.toMatch(/SECRET|U0VDUkVU|TRUNSRVQ/)
    expect(lines.join('')).toContain('[redacted]')
  })

  test('keeps what only looks like a secret by its name', () => {
    const lines: string[] = []
    logTo(lines).info({ tokensIssued: 3, passwordless: true, cookieCount: 1, author: 'x' })
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      tokensIssued: 3,
      passwordless: true,
      cookieCount: 1,
      author: 'x',
    })
  })

  test('survives what cannot be written as JSON', () => {
    const lines: string[] = []
    const log = logTo(lines)
    const circular: Record<string, unknown> = { a: 1 }
    circular['self'] = circular
    log.info({
      circular,
      big: 10n,
      map: new Map([[1, 2]]),
      when: new Date(0),
      bytes: Buffer.from('x'),
      none: undefined,
    })
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      when: '1970-01-01T00:00:00.000Z',
      map: '[Map]',
    })
  })

  test('can be read by people with WATTLE_LOG_FORMAT=pretty', () => {
    const lines: string[] = []
    const log = logTo(lines, { WATTLE_LOG_FORMAT: 'pretty' })
    log.warn({ attempt: 2, err: new Error('outer', { cause: new Error('inner') }) }, 'still trying')
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} .*warn.* notes still trying attempt=2/)
    expect(lines[0]).toContain('Error: outer')
    expect(lines[0]).toContain('caused by:')
  })

  test('tells a caller who went away from an answer that was given', async () => {
    const entered = Promise.withResolvers<AbortSignal>()
    await using service = await startApp((app) => {
      app.get('/slow', async (request) => {
        entered.resolve(request.deadline.signal)
        return new Promise(() => undefined)
      })
    })
    const controller = new AbortController()
    const answer = fetch(`${service.url}/slow`, { signal: controller.signal })
    const signal = await entered.promise
    controller.abort()
    await expect(answer).rejects.toThrow('aborted')
    await eventually(() => {
      expect(signal.aborted).toBe(true)
      expect(service.lines).toContainEqual(expect.objectContaining({ route: '/slow', status: 499 }))
    })
  })

  test('never has a body in it', async () => {
    await using service = await startApp(addNoteRoutes, { env: { WATTLE_LOG_LEVEL: 'trace' } })
    await postJson(`${service.url}/notes`, '{"title":"my private title"}')
    await postJson(`${service.url}/notes`, '{"title":"my private title", "x": 1}')
    await eventually(() =>
      expect(service.lines.filter(({ status }) => status !== undefined)).toHaveLength(2),
    )
    expect(JSON.stringify(service.lines)).not.toContain('private')
  })
})
