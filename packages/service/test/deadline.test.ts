import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Type } from 'typebox'
import { AppError, defineRoute } from '@wattle/contracts'
import { addRoute } from '@wattle/service'
import { eventually } from '@wattle/testkit'
import { addNoteRoutes, ask, sendRaw, startApp } from './support.ts'

const slow = defineRoute({
  name: 'slow',
  method: 'GET',
  path: '/slow',
  summary: 'x',
  auth: 'public',
  deadlineMs: 300,
  replies: { 200: Type.Object({ remainingMs: Type.Number() }) },
})

describe('a deadline', () => {
  test('that has passed is answered 504 at once, though the handler goes on, and its signal is aborted', async () => {
    let signal: AbortSignal | undefined
    const finished = Promise.withResolvers<void>()
    await using service = await startApp((app) => {
      addRoute(app, slow, async ({ request }) => {
        signal = request.deadline.signal
        await delay(2_000)
        finished.resolve()
        return { remainingMs: request.deadline.remainingMs() }
      })
    })
    const startMs = performance.now()
    const { status, problem } = await ask(`${service.url}/slow`)
    const tookMs = performance.now() - startMs
    expect([status, problem.code]).toEqual([504, 'DEADLINE_EXCEEDED'])
    expect(tookMs).toBeGreaterThan(290)
    expect(tookMs).toBeLessThan(1_900)
    expect(signal?.aborted).toBe(true)
    expect(signal?.reason).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await finished.promise
    // The late result is dropped without a word.
    expect(service.lines.filter(({ level }) => level === 'warn')).toEqual([])
  })

  test('is the shorter of the route’s and the caller’s', async () => {
    await using service = await startApp((app) => {
      addRoute(app, slow, ({ request }) => ({ remainingMs: request.deadline.remainingMs() }))
    })
    const remaining = async (header: string | undefined) => {
      const { text } = await ask(
        `${service.url}/slow`,
        header === undefined ? {} : { headers: { 'x-deadline-ms': header } },
      )
      return (JSON.parse(text) as { remainingMs: number }).remainingMs
    }
    expect(await remaining(undefined)).toBeGreaterThan(100)
    expect(await remaining('60000')).toBeLessThanOrEqual(300)
    expect(await remaining('100')).toBeLessThanOrEqual(100)
  })

  test.each(['0', '-5', '60001', '1.5', 'soon', '1e3', '', '5, 5', '99999999999999'])(
    'of %j is refused, naming the header',
    async (header) => {
      await using service = await startApp(addNoteRoutes)
      const { status, problem } = await ask(`${service.url}/notes`, {
        headers: { 'x-deadline-ms': header },
      })
      expect(status).toBe(400)
      expect(problem.errors).toEqual([
        {
          in: 'headers',
          field: 'x-deadline-ms',
          problem: 'must be a whole number of milliseconds from 1 to 60000',
        },
      ])
    },
  )

  test('covers authentication too', async () => {
    const guarded = defineRoute({ ...slow, auth: 'user' })
    await using service = await startApp(
      (app) => addRoute(app, guarded, () => ({ remainingMs: 0 })),
      {
        authenticate: () => new Promise(() => undefined),
      },
    )
    expect((await ask(`${service.url}/slow`)).status).toBe(504)
  })

  test('covers a body that trickles in', async () => {
    const upload = defineRoute({
      ...slow,
      method: 'POST',
      body: Type.Object({}, { additionalProperties: false }),
    })
    await using service = await startApp((app) => addRoute(app, upload, () => ({ remainingMs: 0 })))
    const answer = await Promise.race([
      sendRaw(
        service.port,
        'POST /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{',
      ),
      delay(5_000, 'nothing'),
    ])
    expect(answer).toMatch(/^HTTP\/1\.1 504 /)
  })

  test('that passes while the handler fails late is still one answer and no crash', async () => {
    const failed = Promise.withResolvers<void>()
    await using service = await startApp((app) => {
      addRoute(app, slow, async ({ request }) => {
        await new Promise((resolve) => request.deadline.signal.addEventListener('abort', resolve))
        await delay(20)
        failed.resolve()
        throw new AppError('CONFLICT' as 'INTERNAL', 'late')
      })
    })
    expect((await ask(`${service.url}/slow`)).status).toBe(504)
    await failed.promise
    expect((await ask(`${service.url}/livez`)).status).toBe(200)
    const answers = () => service.lines.filter(({ route }) => route === '/slow')
    await eventually(() => expect(answers()).toHaveLength(1))
  })

  test('of five seconds stands where the contract says nothing', async () => {
    await using service = await startApp((app) =>
      app.get('/x', (request) => ({ ms: request.deadline.remainingMs() })),
    )
    const { ms } = JSON.parse((await ask(`${service.url}/x`)).text) as { ms: number }
    expect(ms).toBeGreaterThan(4_000)
    expect(ms).toBeLessThanOrEqual(5_000)
  })

  test('that passes while hooks still work on the answer is one answer and no crash', async () => {
    const hooked = Promise.withResolvers<void>()
    await using service = await startApp((app) => {
      app.addHook('preSerialization', async (request, _reply, payload) => {
        if (request.routeOptions.url === '/slow' && request.deadline.remainingMs() > 0) {
          await delay(500)
          hooked.resolve()
        }
        return payload
      })
      addRoute(app, slow, () => ({ remainingMs: 0 }))
    })
    expect((await ask(`${service.url}/slow`)).status).toBe(504)
    await hooked.promise
    expect((await ask(`${service.url}/livez`)).status).toBe(200)
  })

  test('that passes does not spoil an answer that is being sent by a slow hook', async () => {
    await using service = await startApp((app) => {
      app.addHook('onSend', async (_request, _reply, payload) => {
        await delay(450)
        return payload
      })
      addRoute(app, slow, () => ({ remainingMs: 1 }))
    })
    expect((await ask(`${service.url}/slow`)).text).toBe('{"remainingMs":1}')
  })

  test('cuts off a stream that goes on after it', async () => {
    await using service = await startApp((app) => {
      app.get('/stream', { config: { deadlineMs: 200 } }, (_request, reply) => {
        const stream = new PassThrough()
        stream.write('begun')
        return reply.send(stream)
      })
    })
    await expect(ask(`${service.url}/stream`)).rejects.toThrow('terminated')
    expect((await ask(`${service.url}/livez`)).status).toBe(200)
  })

  test('that passes in a route without a contract is answered too, and its late answer dropped', async () => {
    const late = Promise.withResolvers<void>()
    await using service = await startApp((app) => {
      app.get('/raw', { config: { deadlineMs: 100 } }, async () => {
        await delay(300)
        late.resolve()
        return { late: true }
      })
    })
    expect((await ask(`${service.url}/raw`)).status).toBe(504)
    await late.promise
    expect((await ask(`${service.url}/livez`)).status).toBe(200)
  })
})
