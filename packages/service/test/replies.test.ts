import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Type } from 'typebox'
import { AppError, defineRoute } from '@wattle/contracts'
import { addRoute, setCacheHeaders, type CacheOutcome } from '@wattle/service'
import {
  addNoteRoutes,
  ask,
  note,
  noteId,
  noteRoutes,
  postJson,
  startApp,
  type TestApp,
} from './support.ts'

let service: TestApp
beforeAll(async () => {
  service = await startApp(addNoteRoutes)
})
afterAll(() => service.app.close())

describe('a reply', () => {
  test('has the status of its contract, and another where the handler sets it', async () => {
    const either = defineRoute({
      name: 'either',
      method: 'POST',
      path: '/either',
      summary: 'x',
      auth: 'public',
      replies: {
        200: Type.Object({ found: Type.Boolean() }),
        202: Type.Object({ later: Type.String() }),
      },
    })
    await using app = await startApp((target) => {
      addRoute(target, either, ({ request, reply }) => {
        if (request.headers['x-later'] === undefined) return { found: true }
        reply.code(202)
        return { later: 'soon' }
      })
    })
    const now = await ask(`${app.url}/either`, { method: 'POST' })
    expect([now.status, now.text]).toEqual([200, '{"found":true}'])
    const later = await ask(`${app.url}/either`, { method: 'POST', headers: { 'x-later': '1' } })
    expect([later.status, later.text]).toEqual([202, '{"later":"soon"}'])
    expect((await postJson(`${service.url}/notes`, '{"title":"x"}')).status).toBe(201)
  })

  test('of 204 has no body', async () => {
    const answer = await ask(`${service.url}/notes/${noteId}`, {
      method: 'DELETE',
      headers: { authorization: 'Bearer usr_1' },
    })
    expect([answer.status, answer.text]).toEqual([204, ''])
  })

  test('never carries a field that the contract does not name', async () => {
    await using app = await startApp((target) => {
      addRoute(target, noteRoutes.getNote, () => ({
        ...note,
        passwordHash: 'argon2id',
        inner: { a: 1 },
      }))
    })
    expect((await ask(`${app.url}/notes/${noteId}`)).text).toBe(JSON.stringify(note))
  })

  test('that does not fit its contract is an error outside production, with the reason in the log alone', async () => {
    await using app = await startApp((target) => {
      addRoute(
        target,
        noteRoutes.getNote,
        () => JSON.parse('{"id":"evt_1","title":"x"}') as typeof note,
      )
    })
    const { status, text } = await ask(`${app.url}/notes/${noteId}`)
    expect(status).toBe(500)
    expect(text).not.toContain('amountMinor')
    expect(JSON.stringify(app.lines)).toContain('getNote: the reply 200 does not fit its contract')
  })

  test('is not stored by anyone unless the handler says so', async () => {
    expect((await ask(`${service.url}/notes`)).headers.get('cache-control')).toBe('no-store')
    await using app = await startApp((target) => {
      addRoute(target, noteRoutes.getNote, ({ reply }) => {
        reply.header('cache-control', 'private, max-age=5').header('etag', '"1"')
        return note
      })
      target.get('/fails', (_request, reply) => {
        reply.header('cache-control', 'public').header('etag', '"1"')
        throw new AppError('UNAVAILABLE', 'Not now.', { retryAfterSeconds: 7 })
      })
    })
    expect((await ask(`${app.url}/notes/${noteId}`)).headers.get('cache-control')).toBe(
      'private, max-age=5',
    )
    const failed = await ask(`${app.url}/fails`)
    expect(failed.headers.get('cache-control')).toBe('no-store')
    expect(failed.headers.get('etag')).toBeNull()
    expect(failed.headers.get('retry-after')).toBe('7')
  })

  test('carries headers that keep browsers from guessing and framing', async () => {
    const { headers } = await ask(`${service.url}/notes`)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('x-frame-options')).toBe('DENY')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('x-powered-by')).toBeNull()
    expect(headers.get('server')).toBeNull()
    expect(headers.get('strict-transport-security')).toBeNull()
  })
})

test('every refusal carries those headers too, and production asks for TLS from then on', async () => {
  const refused = await ask(`${service.url}/notes`, { headers: { 'x-deadline-ms': 'soon' } })
  expect(refused.status).toBe(400)
  expect(refused.headers.get('x-content-type-options')).toBe('nosniff')
  await using app = await startApp(addNoteRoutes, {
    env: { WATTLE_ENV: 'production', WATTLE_LAME_DUCK_MS: '0' },
  })
  expect((await ask(`${app.url}/notes`)).headers.get('strict-transport-security')).toContain(
    'max-age=',
  )
})

describe('an address', () => {
  test('that no route has is 404, as a problem document', async () => {
    const { status, headers, problem } = await ask(`${service.url}/nothing?x=1`)
    expect(status).toBe(404)
    expect(headers.get('content-type')).toContain('application/problem+json')
    expect(problem).toMatchObject({
      code: 'NOT_FOUND',
      status: 404,
      type: 'urn:wattle:problem:not-found',
    })
    expect(problem.requestId).toBe(headers.get('x-request-id'))
  })

  test('with a wrong method is 405 with the right ones', async () => {
    const { status, headers, problem } = await ask(`${service.url}/notes/${noteId}?x=1`, {
      method: 'PUT',
    })
    expect(status).toBe(405)
    expect(headers.get('allow')).toBe('DELETE, GET, HEAD, OPTIONS')
    expect(problem.code).toBe('METHOD_NOT_ALLOWED')
  })

  test('asked for its OPTIONS lists its methods', async () => {
    const { status, headers } = await ask(`${service.url}/notes`, { method: 'OPTIONS' })
    expect(status).toBe(204)
    expect(headers.get('allow')).toBe('GET, HEAD, OPTIONS, POST')
    expect((await ask(`${service.url}/nothing`, { method: 'OPTIONS' })).status).toBe(404)
  })

  test('is not made known by a route for everything, such as that of CORS', async () => {
    await using app = await startApp((target) => {
      target.options('*', (_request, reply) => reply.code(204).send())
    })
    expect((await ask(`${app.url}/nothing`)).status).toBe(404)
  })

  test('answers HEAD as GET without the body', async () => {
    const { status, headers, text } = await ask(`${service.url}/notes/${noteId}`, {
      method: 'HEAD',
    })
    expect([status, text]).toEqual([200, ''])
    expect(headers.get('content-length')).toBe(String(JSON.stringify(note).length))
  })
})

describe('H2: a cached reply', () => {
  async function headersFor(outcome: CacheOutcome) {
    await using app = await startApp((target) => {
      addRoute(target, noteRoutes.getNote, ({ reply }) => {
        setCacheHeaders(reply, outcome)
        return note
      })
    })
    const { headers } = await ask(`${app.url}/notes/${noteId}`)
    return {
      'cache-status': headers.get('cache-status'),
      age: headers.get('age'),
      'x-cache-status': headers.get('x-cache-status'),
      'x-cache-key': headers.get('x-cache-key'),
      'x-cache-ttl': headers.get('x-cache-ttl'),
      time: headers.get('x-cache-response-time'),
    }
  }

  test('that was a hit says so, with what is left of its life and its age', async () => {
    expect(
      await headersFor({ status: 'hit', key: 'test:notes:note:1', ttlMs: 30_900, ageMs: 4_200 }),
    ).toEqual({
      'cache-status': 'wattle-notes; hit; ttl=30; key="test:notes:note:1"',
      age: '4',
      'x-cache-status': 'HIT',
      'x-cache-key': 'test:notes:note:1',
      'x-cache-ttl': '30',
      time: expect.stringMatching(/^\d+\.\dms$/) as string,
    })
  })

  test('that was a miss, stale or bypassed says so', async () => {
    expect(await headersFor({ status: 'miss', key: 'k', ttlMs: 60_000 })).toMatchObject({
      'cache-status': 'wattle-notes; fwd=miss; stored; ttl=60; key="k"',
      age: null,
      'x-cache-status': 'MISS',
    })
    expect(
      await headersFor({ status: 'stale', key: 'k', ttlMs: -5_000, ageMs: 65_000 }),
    ).toMatchObject({
      'cache-status': 'wattle-notes; hit; ttl=-5; key="k"',
      age: '65',
      'x-cache-status': 'STALE',
    })
    expect(await headersFor({ status: 'bypass', key: 'k' })).toMatchObject({
      'cache-status': 'wattle-notes; fwd=bypass; key="k"',
      'x-cache-status': 'BYPASS',
      'x-cache-ttl': null,
    })
  })

  test('cannot have its headers broken by what a key holds', async () => {
    const headers = await headersFor({ status: 'hit', key: 'a"b\\c\r\nset-cookie: x\u00e9' })
    expect(headers['x-cache-key']).toBe('a"b\\c??set-cookie: x?')
    expect(headers['cache-status']).toBe('wattle-notes; hit; key="a\\"b\\\\c??set-cookie: x?"')
  })
})
