import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { fixtureRoutes, json, startFixture, thingId, type Fixture } from './fixture.ts'

let gateway: Fixture
const clock = { nowMs: Date.now() }
/** What the user service says when it is asked for a session. */
let answer: (request: IncomingMessage, response: ServerResponse) => void
let asked = 0

const session = {
  id: 'ses_01936b0e-7c1a-7000-8000-000000000003',
  name: null,
  device: 'curl',
  address: '127.0.0.1',
  country: null,
  firstSeenAt: '2026-01-01T00:00:00.000Z',
  lastSeenAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2026-01-01T00:00:00.000Z',
  freshLoginAt: '2026-01-01T00:00:00.000Z',
  current: true,
}
const stands = json(session)
const problem = (status: number, code: string) =>
  json(
    { type: 'x', title: 'x', status, code, detail: 'x', requestId: 'req_1' },
    { 'content-type': 'application/problem+json' },
    status,
  )

beforeAll(async () => {
  gateway = await startFixture({ services: { user: fixtureRoutes }, now: () => clock.nowMs })
  gateway.verdictOf = () => 'unknown'
  const others = json({ ok: true })
  gateway.answer = (request, response) => {
    if (request.url !== '/me/session') return others(request, response)
    asked++
    return answer(request, response)
  }
})
beforeEach(() => {
  clock.nowMs += 60_000
  answer = stands
  asked = 0
})
afterAll(() => gateway.stop())

const read = (authorization: string) =>
  gateway.call(`/api/things/${thingId}`, { headers: { authorization } })
const spend = (authorization: string) =>
  gateway.call('/api/spendings', {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: '{}',
  })

describe('T3 while the view cannot tell, the user service', () => {
  test('is asked as the person, and what it says goes: the session stands', async () => {
    const authorization = gateway.authorization()
    expect((await spend(authorization)).status).toBe(200)
    expect(asked).toBe(1)
    const call = gateway.seen.find(({ url }) => url === '/me/session')
    expect(call?.headers.authorization).not.toBe(authorization)
    expect(call?.headers.authorization).toMatch(/^Bearer /)
  })

  test('is asked once in two seconds for a token, however many requests there are', async () => {
    const authorization = gateway.authorization()
    const replies = await Promise.all(Array.from({ length: 50 }, () => read(authorization)))
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]))
    expect(asked).toBe(1)
    clock.nowMs += 1_999
    await read(authorization)
    expect(asked).toBe(1)
    clock.nowMs += 1
    await read(authorization)
    expect(asked).toBe(2)
  })

  test('refuses, and so does every route', async () => {
    answer = problem(401, 'UNAUTHENTICATED')
    const authorization = gateway.authorization()
    expect((await read(authorization)).status).toBe(401)
    expect((await spend(authorization)).status).toBe(401)
  })

  test('fails: money fails closed, reading stays open, and it is asked once a second, not more', async () => {
    answer = problem(503, 'UNAVAILABLE')
    const first = gateway.authorization()
    expect((await spend(first)).status).toBe(503)
    const afterFirst = asked
    // Others do not ask it again, and do not wait.
    for (let n = 0; n < 20; n++) {
      clock.nowMs += 10
      const authorization = gateway.authorization()
      expect((await read(authorization)).status).toBe(200)
      expect((await spend(authorization)).status).toBe(503)
    }
    expect(asked).toBe(afterFirst)
    clock.nowMs += 1_000
    answer = stands
    expect((await spend(gateway.authorization())).status).toBe(200)
    expect((await spend(gateway.authorization())).status).toBe(200)
  })

  test('that never answers is waited for 0.8 seconds by one, and by nobody else', async () => {
    answer = () => undefined
    const startedMs = performance.now()
    expect((await spend(gateway.authorization())).status).toBe(503)
    expect(performance.now() - startedMs).toBeLessThan(3_000)
    expect((await read(gateway.authorization())).status).toBe(200)
    expect(asked).toBe(1)
  })
})
