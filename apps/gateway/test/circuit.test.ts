import { createCircuits } from '@wattle/service'
import { eventually, fakeClock } from '@wattle/testkit'
import { describe, expect, test } from 'vitest'
import { fixtureRoutes, json, startForTest, type Answer, type Fixture } from './fixture.ts'

const problem =
  (status: number, code: string): Answer =>
  (_request, response) => {
    const body = { type: 'x', title: 'x', status, code, detail: 'The detail.', requestId: 'r' }
    response.writeHead(status, { 'content-type': 'application/problem+json' })
    response.end(JSON.stringify(body))
  }
const bare =
  (status: number): Answer =>
  (_request, response) => {
    response.writeHead(status).end()
  }
const frozen: Answer = () => undefined

const times = <T>(n: number, call: () => Promise<T>) => Promise.all(Array.from({ length: n }, call))

async function stateOf(gateway: Fixture, target: string): Promise<number> {
  const { text } = await gateway.call('/metrics')
  const line = new RegExp(`circuit_state\\{target="${target}",service="gateway"\\} (\\d)`)
  return Number(line.exec(text)?.[1])
}

describe('L6 a service that does not answer', () => {
  test('is not asked any more after a few time-outs: 503 at once, and others are untouched', async () => {
    const services = {
      sick: { hasty: fixtureRoutes.hasty },
      healthy: { open: fixtureRoutes.open },
    }
    const gateway = await startForTest({ services })
    gateway.answer = (request, response) =>
      (request.url === '/hasty' ? frozen : json({ ok: true }))(request, response)
    const late = await times(5, () => gateway.call('/api/hasty'))
    expect(late).toMatchObject(Array.from({ length: 5 }, () => ({ status: 504 })))
    // The caller is answered first.
    await eventually(async () => expect(await stateOf(gateway, 'sick')).toBe(2))
    const asked = gateway.seen.length
    const reply = await gateway.call('/api/hasty')
    expect([reply.status, reply.headers['retry-after']]).toEqual([503, '1'])
    expect(reply.json()).toMatchObject({ code: 'UNAVAILABLE' })
    expect(gateway.seen).toHaveLength(asked)
    expect((await gateway.call('/api/open')).status).toBe(200)
    expect(await stateOf(gateway, 'healthy')).toBe(0)
  })

  test('is reached again once three requests in a row were answered', async () => {
    const clock = fakeClock()
    const circuits = createCircuits({ now: clock.now, random: () => 1 })
    const gateway = await startForTest({ circuits })
    gateway.answer = bare(503)
    await times(5, () => gateway.call('/api/open'))
    gateway.answer = json({ ok: true })
    expect((await gateway.call('/api/open')).status).toBe(503)
    clock.advance(1_000)
    for (let n = 0; n < 3; n++) {
      expect(circuits.list()).toMatchObject([{ service: 'fixture', state: 'half-open' }])
      expect((await gateway.call('/api/open')).status).toBe(200)
    }
    expect(circuits.list()).toMatchObject([{ service: 'fixture', state: 'closed' }])
  })

  test.each([502, 503, 504])('or before which a proxy answers %d: likewise', async (status) => {
    const clock = fakeClock()
    const circuits = createCircuits({ now: clock.now })
    const gateway = await startForTest({ circuits })
    gateway.answer = bare(status)
    await times(5, () => gateway.call('/api/open'))
    expect(circuits.list()).toMatchObject([{ state: 'open' }])
  })
})

describe('L6 the circuit of the gateway stays closed', () => {
  test.each([
    [503, 'UNAVAILABLE'],
    [502, 'BAD_GATEWAY'],
    [504, 'DEADLINE_EXCEEDED'],
    [500, 'INTERNAL'],
    [404, 'NOT_FOUND'],
  ])('when a service says %d itself: its other routes may work', async (status, code) => {
    const gateway = await startForTest()
    gateway.answer = problem(status, code)
    const replies = await times(30, () => gateway.call('/api/open'))
    for (const reply of replies) expect(reply.json()).toMatchObject({ detail: 'The detail.' })
    gateway.answer = json({ ok: true })
    expect((await gateway.call('/api/open')).status).toBe(200)
  })

  test('when clients leave their requests no time', async () => {
    const gateway = await startForTest()
    gateway.answer = frozen
    const headers = { 'x-deadline-ms': '50' }
    const replies = await times(30, () => gateway.call('/api/open', { headers }))
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([504]))
    gateway.answer = json({ ok: true })
    expect((await gateway.call('/api/open')).status).toBe(200)
    expect(await stateOf(gateway, 'fixture')).toBe(0)
  })

  test('when clients go away, or send what cannot be handed on', async () => {
    const gateway = await startForTest()
    gateway.answer = frozen
    const leaving = new AbortController()
    const calls = times(20, () =>
      gateway.call('/api/open', { signal: leaving.signal }).catch(() => 'left'),
    )
    await eventually(() => expect(gateway.seen).toHaveLength(20))
    leaving.abort()
    expect(new Set(await calls)).toEqual(new Set(['left']))
    await eventually(() => expect(gateway.sockets.size).toBe(0))
    gateway.answer = json({ ok: true })
    await times(20, () =>
      gateway.call('/api/open', { headers: { 'accept-language': 'caf\u00e9' } }),
    )
    expect((await gateway.call('/api/open')).status).toBe(200)
    expect(await stateOf(gateway, 'fixture')).toBe(0)
  })
})
