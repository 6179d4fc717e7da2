import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { BillPage, Payment, Profile, Provider } from '@wattle/contracts'
import { migrate } from '@wattle/database'
import { generateSigningKey, readSigningKeys } from '@wattle/identity'
import { eventually, startDatabase, startRedis } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startProcess } from './process.ts'

const directoryOf = (service: string) =>
  fileURLToPath(new URL(`../../${service}/migrations`, import.meta.url))

/** Where the keys of a service are published: others must be told of it before the service is there. */
async function standIn(pem: string) {
  const publisher = createServer((_request, response) => {
    response.end(JSON.stringify(readSigningKeys(pem).jwks))
  }).listen(0, '127.0.0.1')
  await once(publisher, 'listening')
  const url = `http://127.0.0.1:${(publisher.address() as AddressInfo).port}`
  return { url, close: () => publisher.close() }
}

const callbackSecret = Buffer.alloc(32, 'callbacks')

/** Gateway, user, payment and billing as processes of their own, on a real PostgreSQL and Redis. */
async function startStack() {
  const databaseOf = (service: string) =>
    startDatabase({ service, migrations: directoryOf(service), migrate })
  const [userDatabase, paymentDatabase, billingDatabase, redis, state] = await Promise.all([
    databaseOf('user'),
    databaseOf('payment'),
    databaseOf('billing'),
    startRedis({ acl: true, services: ['user', 'payment', 'billing', 'gateway'] }),
    startRedis(),
  ])
  const internalKey = generateSigningKey()
  const paymentKey = generateSigningKey()
  const [gatewayKeys, paymentKeys] = await Promise.all([standIn(internalKey), standIn(paymentKey)])
  const jwksUrl = `${gatewayKeys.url}/.well-known/jwks.json`

  const user = await startProcess('user', {
    DATABASE_URL_USER: userDatabase.url,
    WATTLE_REDIS_CACHE_URL: redis.urlFor('user'),
    WATTLE_REDIS_STATE_URL: state.url,
    WATTLE_SESSION_SECRET: Buffer.alloc(32, 'session').toString('base64'),
    WATTLE_INTERNAL_JWKS_URL: jwksUrl,
    WATTLE_ACCESS_SIGNING_KEY: generateSigningKey(),
  })
  const billing = await startProcess('billing', {
    DATABASE_URL_BILLING: billingDatabase.url,
    WATTLE_REDIS_CACHE_URL: redis.urlFor('billing'),
    WATTLE_REDIS_STATE_URL: state.url,
    WATTLE_INTERNAL_JWKS_URL: jwksUrl,
    WATTLE_PAYMENT_URL: paymentKeys.url,
  })
  const payment = await startProcess('payment', {
    DATABASE_URL_PAYMENT: paymentDatabase.url,
    WATTLE_REDIS_CACHE_URL: redis.urlFor('payment'),
    WATTLE_REDIS_STATE_URL: state.url,
    WATTLE_EVENT_REPLICAS: '0',
    WATTLE_INTERNAL_JWKS_URL: jwksUrl,
    WATTLE_BILLING_URL: await billing.url(),
    WATTLE_SERVICE_SIGNING_KEY: paymentKey,
    WATTLE_PROCESSOR_SECRET: `whsec_${callbackSecret.toString('base64')}`,
  })
  const gateway = await startProcess('gateway', {
    WATTLE_USER_URL: await user.url(),
    WATTLE_PAYMENT_URL: await payment.url(),
    WATTLE_BILLING_URL: await billing.url(),
    WATTLE_REDIS_STATE_URL: state.url,
    WATTLE_INTERNAL_SIGNING_KEY: internalKey,
    WATTLE_REDIS_CACHE_URL: redis.urlFor('gateway'),
    // Everybody comes from one address here.
    WATTLE_RATE_LIMIT_SCALE: '1000',
  })
  const url = await gateway.url()
  async function stop(): Promise<void> {
    await Promise.all([gateway, user, payment, billing].map((one) => one.stop('SIGKILL')))
    for (const publisher of [gatewayKeys, paymentKeys]) publisher.close()
    const databases = [userDatabase, paymentDatabase, billingDatabase]
    await Promise.all([...databases.map((one) => one.drop()), redis.stop(), state.stop()])
  }
  return {
    billing,
    gateway,
    payment,
    redis,
    url,
    user,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

let stack: Awaited<ReturnType<typeof startStack>>
beforeAll(async () => {
  stack = await startStack()
}, 60_000)
afterAll(() => stack.stop())

let people = 0
async function signUp(url = stack.url) {
  const email = `person${people++}@example.com`
  const password = 'correct horse battery'
  const send = (path: string, body: object) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const registered = await send('/api/auth/register', { email, password, name: 'Ada Obi' })
  const profile = (await registered.json()) as Profile
  const login = await send('/api/auth/login', { email, password })
  const { accessToken } = (await login.json()) as { accessToken: string }
  const authorization = `Bearer ${accessToken}`
  const get = (path: string) => fetch(`${url}${path}`, { headers: { authorization } })
  const write = (method: string, path: string, body?: object, headers = {}) =>
    fetch(`${url}${path}`, {
      method,
      headers: {
        authorization,
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body ? JSON.stringify(body) : null,
    })
  return { statuses: [registered.status, login.status], profile, get, write }
}

type Person = Awaited<ReturnType<typeof signUp>>

const untilHit = (person: Person, path: string) =>
  eventually(async () => {
    const reply = await person.get(path)
    expect(reply.headers.get('x-cache-status')).toBe('HIT')
    return reply
  })

describe('S0 the whole way', () => {
  test('a person signs up, logs in, links a meter and lists bills; the second read is a HIT', async () => {
    const person = await signUp()
    expect(person.statuses).toEqual([201, 200])
    expect(await (await person.get('/api/me')).json()).toEqual(person.profile)

    const providers = await fetch(`${stack.url}/api/providers?utility=electricity`)
    const { items } = (await providers.json()) as { items: Provider[] }
    const link = { providerId: items[0]?.id, customerNumber: '12345678901' }
    expect((await person.write('POST', '/api/bills/accounts', link)).status).toBe(201)

    const first = await person.get('/api/bills')
    expect([first.status, first.headers.get('x-cache-status')]).toEqual([200, 'MISS'])
    const page = (await first.json()) as BillPage
    expect(page.items.length).toBeGreaterThan(0)
    const second = await untilHit(person, '/api/bills')
    expect(await second.json()).toEqual(page)
    expect(second.headers.get('cache-status')).toMatch(/^wattle-billing; hit/)

    const bill = await person.get(`/api/bills/${page.items[0]?.id}`)
    expect(await bill.json()).toMatchObject({
      id: page.items[0]?.id,
      lines: expect.any(Array) as [],
    })
  })

  test('a person pays a bill, once however often the request is sent, and sees it paid', async () => {
    const person = await signUp()
    const providers = await fetch(`${stack.url}/api/providers?utility=electricity`)
    const { items } = (await providers.json()) as { items: Provider[] }
    const link = { providerId: items[0]?.id, customerNumber: '12345678902' }
    expect((await person.write('POST', '/api/bills/accounts', link)).status).toBe(201)
    const page = (await (await person.get('/api/bills')).json()) as BillPage
    const bill = page.items.find(({ state }) => state === 'open' || state === 'overdue')
    if (bill === undefined) throw new Error('there is no bill to pay')

    const wish = {
      billId: bill.id,
      amountMinor: 1_000,
      currency: bill.currency,
      instrument: 'test_success',
    }
    const pay = () =>
      person.write('POST', '/api/payments', wish, { 'idempotency-key': `pay-${bill.id}` })
    const created = await pay()
    const payment = (await created.json()) as Payment
    expect([created.status, payment.state]).toEqual([201, 'requires_confirmation'])
    expect(await (await pay()).json()).toEqual(payment)
    expect((await person.write('POST', '/api/payments', wish)).status).toBe(400)

    const path = `/api/payments/${payment.id}`
    const confirmed = await person.write('POST', `${path}/confirm`, undefined, {
      'idempotency-key': `confirm-${bill.id}`,
    })
    expect(await confirmed.json()).toMatchObject({ id: payment.id, state: 'succeeded' })
    await eventually(async () => {
      const reply = await person.get(`/api/bills/${bill.id}`)
      expect(await reply.json()).toMatchObject({ paidMinor: bill.paidMinor + 1_000 })
    })
    const list = (await (await person.get('/api/payments')).json()) as { items: Payment[] }
    expect(list.items.map(({ id }) => id)).toEqual([payment.id])
    expect((await (await signUp()).get(path)).status).toBe(404)
  })

  test("a processor's callback is taken when it is signed, and refused when a byte is changed", async () => {
    const send = (body: string, signedBody: string) => {
      const id = 'msg_whole_way'
      const timestamp = String(Math.floor(Date.now() / 1000))
      const signature = createHmac('sha256', callbackSecret)
        .update(`${id}.${timestamp}.${signedBody}`)
        .digest('base64')
      return fetch(`${stack.url}/api/processors/sandbox/callbacks`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': `v1,${signature}`,
        },
        body,
      })
    }
    const forged = await send('{"type":"charge.succeeded"}', '{"type":"charge.failed"}')
    expect([forged.status, await forged.json()]).toMatchObject([401, { code: 'SIGNATURE_INVALID' }])
    // Its signature holds, so what it says is read, and found wanting.
    const understood = await send('{"type":"odd"}', '{"type":"odd"}')
    expect([understood.status, await understood.json()]).toMatchObject([
      400,
      { code: 'VALIDATION_FAILED' },
    ])
    const elsewhere = `${stack.url}/api/processors/other/callbacks`
    expect((await fetch(elsewhere, { method: 'POST', body: '{}' })).status).toBe(404)
  })

  test('a change is seen by the next read, through the cache', async () => {
    const person = await signUp()
    await untilHit(person, '/api/me')
    const changed = await person.write('PATCH', '/api/me', { name: 'Ada Changed' })
    expect(await (await person.get('/api/me')).json()).toEqual(await changed.json())
  })

  test("another person's bill is 404, a made-up one too", async () => {
    const [owner, other] = [await signUp(), await signUp()]
    const providers = await fetch(`${stack.url}/api/providers?utility=gas`)
    const { items } = (await providers.json()) as { items: Provider[] }
    const link = { providerId: items[0]?.id, customerNumber: '87654321' }
    await owner.write('POST', '/api/bills/accounts', link)
    const page = (await (await owner.get('/api/bills')).json()) as BillPage
    const path = `/api/bills/${page.items[0]?.id}`
    expect((await owner.get(path)).status).toBe(200)
    expect((await other.get(path)).status).toBe(404)
    expect((await other.get('/api/bills/bil_01936b0e-7c1a-7000-8000-000000000009')).status).toBe(
      404,
    )
  })

  test('faults of the input come back as the service says them', async () => {
    const person = await signUp()
    const reply = await person.write('PATCH', '/api/me', { nmae: 'Ada' })
    expect(reply.status).toBe(400)
    expect(reply.headers.get('content-type')).toMatch('application/problem+json')
    expect(await reply.json()).toMatchObject({
      code: 'VALIDATION_FAILED',
      errors: [{ in: 'body', field: 'nmae' }],
      requestId: reply.headers.get('x-request-id'),
    })
    expect((await person.get('/api/bills?limit=ten')).status).toBe(400)
    expect((await person.write('PATCH', '/api/me', [])).status).toBe(400)
  })

  test('the document of the whole API describes every service', async () => {
    const reply = await fetch(`${stack.url}/openapi.json`)
    const { paths } = (await reply.json()) as { paths: Record<string, unknown> }
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining([
        '/api/auth/login',
        '/api/me',
        '/api/payments',
        '/api/bills/{billId}',
      ]),
    )
  })

  test('fifty people at once each see themselves, also while Redis is killed', async () => {
    const everyone = await Promise.all(Array.from({ length: 10 }, () => signUp()))
    const faults: unknown[] = []
    let answered = 0
    const ends = AbortSignal.timeout(2_500)
    const readers = Array.from({ length: 50 }, async (_, n) => {
      const person = everyone[n % everyone.length]
      if (person === undefined) throw new Error('nobody signed up')
      while (!ends.aborted) {
        const reply = await person.get('/api/me')
        const body = (await reply.json()) as Profile
        answered++
        if (reply.status !== 200 || body.id !== person.profile.id) faults.push([reply.status, body])
      }
    })
    await stack.redis.kill()
    await Promise.all(readers)
    expect(faults).toEqual([])
    expect(answered).toBeGreaterThan(100)
    await stack.redis.restart()
    const [person] = everyone
    if (person !== undefined) await untilHit(person, '/api/me')
  })
})

describe('S0 services that stop', () => {
  test('take only their own routes along, and every process ends cleanly', async () => {
    await using own = await startStack()
    const person = await signUp(own.url)
    expect(await own.billing.stop()).toEqual({ code: 0, errors: '' })
    const bills = await person.get('/api/bills')
    expect([bills.status, bills.headers.get('retry-after')]).toEqual([503, '1'])
    expect((await person.get('/api/me')).status).toBe(200)
    expect((await fetch(`${own.url}/readyz`)).status).toBe(200)

    expect(await own.payment.stop()).toEqual({ code: 0, errors: '' })
    expect((await person.get('/api/payments')).status).toBe(503)
    expect(await own.user.stop()).toEqual({ code: 0, errors: '' })
    // Known keys stay good: the token is not refused.
    expect((await person.get('/api/me')).status).toBe(503)
    expect(await own.gateway.stop()).toEqual({ code: 0, errors: '' })
  }, 60_000)
})

describe('R3 the gateway process', () => {
  test('stops with one sentence about a variable that is wrong', async () => {
    const gateway = await startProcess('gateway', {
      WATTLE_USER_URL: 'http://127.0.0.1:1',
      WATTLE_PAYMENT_URL: 'http://127.0.0.1:1',
      WATTLE_BILLING_URL: 'localhost',
      WATTLE_REDIS_STATE_URL: 'redis://127.0.0.1:1',
      WATTLE_INTERNAL_SIGNING_KEY: generateSigningKey(),
      WATTLE_REDIS_CACHE_URL: 'redis://127.0.0.1:1',
    })
    const { code, errors } = await gateway.ended
    expect(code).not.toBe(0)
    expect(errors).toMatch(/^gateway: WATTLE_BILLING_URL [^\n]+\n$/)
  })
})
