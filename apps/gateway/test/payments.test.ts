import { createHmac, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { exposedServices } from '../src/routes.ts'
import { json, startFixture, type Fixture } from './fixture.ts'

let gateway: Fixture
beforeAll(async () => {
  gateway = await startFixture({ services: { payment: exposedServices.payment } })
})
beforeEach(() => {
  gateway.seen.length = 0
})
afterAll(() => gateway.stop())

const paymentId = 'pay_01936b0e-7c1a-7000-8000-000000000003'

describe('S0 a write of a payment', () => {
  test('brings its idempotency key along, as it came, and the time that it may take', async () => {
    gateway.answer = json({}, {}, 200)
    const headers = {
      authorization: gateway.authorization(),
      'idempotency-key': 'Key of mine 0001',
    }
    const path = `/api/payments/${paymentId}/confirm`
    expect((await gateway.call(path, { method: 'POST', headers })).status).toBe(200)
    const [seen] = gateway.seen
    expect(seen).toMatchObject({ method: 'POST', url: `/payments/${paymentId}/confirm`, body: '' })
    expect(seen?.headers['idempotency-key']).toBe('Key of mine 0001')
    // More than the three seconds that a processor may take.
    expect(Number(seen?.headers['x-deadline-ms'])).toBeGreaterThan(4_000)
  })

  test('is never sent twice, also when its connection breaks', async () => {
    let arrived = 0
    gateway.answer = (request) => {
      arrived++
      request.socket.destroy()
    }
    const headers = { authorization: gateway.authorization(), 'idempotency-key': 'key-2' }
    const path = `/api/payments/${paymentId}/confirm`
    const reply = await gateway.call(path, { method: 'POST', headers })
    expect([reply.status, arrived]).toEqual([502, 1])
  })
})

describe("S0 a processor's callback", () => {
  test('reaches the payment service byte by byte under its signature, without a token', async () => {
    const received: Buffer[] = []
    gateway.answer = (request, response) => {
      request.on('data', (chunk: Buffer) => received.push(chunk))
      request.on('end', () => response.writeHead(204).end())
    }
    // Bytes that no parser of JSON and no decoder of UTF-8 would leave as they are.
    const body = Buffer.concat([
      Buffer.from(' {"a":1.0,\r\n"a":2} '),
      randomBytes(200),
      Buffer.of(0, 255),
    ])
    const signature = createHmac('sha256', 'x').update(body).digest('base64')
    const signed = {
      'webhook-id': 'msg_0001',
      'webhook-timestamp': '1795252000',
      'webhook-signature': `v1,${signature} v1,second=`,
    }
    const reply = await gateway.call('/api/processors/sandbox/callbacks', {
      method: 'POST',
      headers: { ...signed, 'content-type': 'application/json', authorization: 'Bearer x' },
      body,
    })
    expect([reply.status, reply.text]).toEqual([204, ''])
    expect(Buffer.concat(received)).toEqual(body)
    const [seen] = gateway.seen
    expect(seen).toMatchObject({ method: 'POST', url: '/processors/sandbox/callbacks' })
    expect(seen?.headers).toMatchObject({ ...signed, 'content-length': String(body.length) })
    expect(seen?.headers).not.toHaveProperty('authorization')
  })

  test('cannot be sent to another address by the name of its processor', async () => {
    for (const name of ['..', '%2e%2e', 'a%2fb', 'A', '', 'x'.repeat(33)]) {
      const path = `/api/processors/${name}/callbacks`
      const { status } = await gateway.call(path, { method: 'POST', body: '{}' })
      expect([name, status >= 400 && status < 500]).toEqual([name, true])
    }
    expect(gateway.seen).toEqual([])
  })
})
