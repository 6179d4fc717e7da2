import {
  accountRoutes,
  billingRoutes,
  couponRoutes,
  operatorRoutes,
  paymentRoutes,
  reservationRoutes,
  sessionRoutes,
  userRoutes,
  type RouteContract,
} from '@wattle/contracts'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { json, startFixture, type Fixture } from './fixture.ts'
import { exposedServices } from '../src/routes.ts'

let gateway: Fixture
let open: Fixture
beforeAll(async () => {
  gateway = await startFixture()
  open = await startFixture({ corsOrigins: ['https://app.example', 'http://localhost:5173'] })
})
afterAll(() => Promise.all([gateway.stop(), open.stop()]))

type OpenApi = {
  paths: Record<
    string,
    Record<string, { tags: string[]; security: unknown[]; operationId: string }>
  >
}

describe('S0 the API described', () => {
  test('holds every exposed route with its service, and none that is for services', async () => {
    const reply = await gateway.call('/openapi.json')
    expect(reply.headers['content-type']).toMatch('application/json')
    const { paths } = reply.json() as OpenApi
    expect(Object.keys(paths).toSorted()).toEqual([
      '/api/hasty',
      '/api/open',
      '/api/operate',
      '/api/spendings',
      '/api/things',
      '/api/things/{thingId}',
    ])
    expect(paths['/api/things']?.['post']).toMatchObject({
      operationId: 'write',
      tags: ['fixture'],
      security: [{ bearer: [] }],
    })
    expect(paths['/api/open']?.['get']).toMatchObject({ security: [] })
  })

  test('comes from the contracts of all services, each under its name, but for what is for services', async () => {
    const whole = await startFixture({ services: exposedServices })
    onTestFinished(() => whole.stop())
    const { paths } = (await whole.call('/openapi.json')).json() as OpenApi
    const shown = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(
        ([method, { tags }]) => `${tags.join()}: ${method.toUpperCase()} ${path}`,
      ),
    )
    const contracts = {
      user: [userRoutes, sessionRoutes, accountRoutes, operatorRoutes],
      payment: [paymentRoutes],
      billing: [billingRoutes, couponRoutes],
    }
    const promised = Object.entries(contracts).flatMap(([service, tables]) =>
      tables
        .flatMap((table) => Object.values<RouteContract>(table))
        .filter(({ auth }) => auth !== 'service')
        .map(
          ({ method, path }) =>
            `${service}: ${method} /api${path.replaceAll(/:([A-Za-z]+)/g, '{$1}')}`,
        ),
    )
    expect(shown.toSorted()).toEqual(promised.toSorted())
    expect(shown).toContain('payment: POST /api/payments/{paymentId}/confirm')
    expect(paths['/api/payments']?.['post']).toMatchObject({
      parameters: [{ in: 'header', name: 'Idempotency-Key', required: true }],
    })
  })

  test('leaves out what services alone may call: it is not there, whoever asks', async () => {
    const whole = await startFixture({ services: exposedServices })
    onTestFinished(() => whole.stop())
    const headers = { authorization: whole.authorization(['operator']) }
    const inside = [...Object.values<RouteContract>(reservationRoutes), paymentRoutes.verifyLedger]
    for (const { method, path } of inside) {
      const reply = await whole.call(`/api${path}`, { method, headers })
      expect([path, reply.status]).toEqual([path, 404])
    }
    expect(whole.seen).toEqual([])
  })

  test('is a page that loads only from here, under a policy that allows it just that', async () => {
    const page = await gateway.call('/docs')
    expect(page.status).toBe(200)
    expect(page.headers['content-type']).toMatch('text/html')
    const policy = String(page.headers['content-security-policy'])
    expect(policy).toMatch("script-src 'self';")
    expect(policy).not.toMatch(/unsafe|http|\*/)
    expect(page.text).not.toMatch(/<script>|<style|style=|on[a-z]+="/)
    const assets = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '')
    expect(assets.length).toBeGreaterThan(4)
    for (const asset of assets) {
      expect(asset).toMatch(/^\/docs\/static\//)
      const reply = await gateway.call(asset)
      expect(reply.status).toBe(200)
    }
    const initializer = await gateway.call('/docs/static/swagger-initializer.js')
    expect(initializer.text).toMatch("resolveUrl('./json')")
    expect(initializer.text).toMatch('validatorUrl: null')
    const document = await gateway.call('/docs/json')
    expect(document.json()).toEqual((await gateway.call('/openapi.json')).json())
  })

  test('has no way out of its files', async () => {
    const tricks = ['../package.json', '..%2fpackage.json', '%2e%2e/index.js', '%2e%2e%2f%2e%2e%2f']
    for (const trick of tricks) {
      const reply = await gateway.call(`/docs/static/${trick}`)
      expect(reply.status).toBeGreaterThanOrEqual(400)
      expect(reply.status).toBeLessThan(500)
    }
  })
})

describe('T1 the keys of the gateway', () => {
  test('are published for the services, without their private half', async () => {
    const reply = await gateway.call('/.well-known/jwks.json')
    expect(reply.headers['content-type']).toMatch('application/jwk-set+json')
    expect(reply.json()).toEqual(gateway.signingKeys.jwks)
    expect(reply.text).not.toMatch('"d"')
  })
})

describe('S0 browsers of other origins', () => {
  const preflight = (fixture: Fixture, origin: string, path = '/api/things') =>
    fixture.call(path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization, content-type',
      },
    })

  test('are not let in by default', async () => {
    const asked = await preflight(gateway, 'https://app.example')
    const got = await gateway.call('/api/open', { headers: { origin: 'https://app.example' } })
    for (const reply of [asked, got]) {
      expect(Object.keys(reply.headers).join()).not.toMatch('access-control')
    }
  })

  test('are let in where they are listed', async () => {
    const asked = await preflight(open, 'https://app.example')
    expect(asked.status).toBe(204)
    expect(asked.headers).toMatchObject({
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-methods': expect.stringContaining('POST') as string,
      'access-control-allow-headers': expect.stringContaining('authorization') as string,
      vary: expect.stringMatching(/origin/i) as string,
    })
    const got = await open.call('/api/open', { headers: { origin: 'http://localhost:5173' } })
    expect(got.headers).toMatchObject({
      'access-control-allow-origin': 'http://localhost:5173',
      'access-control-expose-headers': expect.stringContaining('x-cache-status') as string,
    })
    expect(got.headers).not.toHaveProperty('access-control-allow-credentials')
  })

  test.each([
    'https://evil.example',
    'https://app.example.evil.example',
    'null',
    'https://app.example:8443',
  ])('are not let in as %s', async (origin) => {
    expect((await preflight(open, origin)).headers).not.toHaveProperty(
      'access-control-allow-origin',
    )
    const got = await open.call('/api/open', { headers: { origin } })
    expect(got.headers).not.toHaveProperty('access-control-allow-origin')
  })

  test('are told apart by caches, beside what the service tells apart', async () => {
    open.answer = json({ ok: true }, { vary: 'accept-language' })
    const got = await open.call('/api/open', { headers: { origin: 'https://app.example' } })
    expect(got.headers['vary']?.toLowerCase()).toBe('origin, accept-language')
  })

  test('may read errors too', async () => {
    const reply = await open.call('/api/things', {
      method: 'POST',
      headers: { origin: 'https://app.example' },
    })
    expect(reply.status).toBe(401)
    expect(reply.headers['access-control-allow-origin']).toBe('https://app.example')
  })

  test('change nothing for unknown addresses and wrong methods', async () => {
    expect((await open.call('/api/nothing')).status).toBe(404)
    expect((await open.call('/api/open', { method: 'DELETE' })).status).toBe(405)
  })
})
