import {
  createSigner,
  generateSigningKey,
  internalTokens,
  localKeys,
  readSigningKeys,
  remoteKeys,
} from '@wattle/identity'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { holder, json, startFixture, thingId, userId, type Fixture } from './fixture.ts'

let gateway: Fixture
const clock = { nowMs: Date.now() }
beforeAll(async () => {
  gateway = await startFixture({ now: () => clock.nowMs })
})
beforeEach(() => {
  clock.nowMs = Date.now()
  gateway.seen.length = 0
})
afterAll(() => gateway.stop())

const ask = (authorization?: string) =>
  gateway.call(`/api/things/${thingId}`, authorization ? { headers: { authorization } } : {})

async function expectRefused(authorization?: string) {
  const reply = await ask(authorization)
  expect(reply.status).toBe(401)
  expect(reply.json()).toMatchObject({ code: 'UNAUTHENTICATED' })
  expect(reply.headers['www-authenticate']).toMatch('Bearer')
  expect(gateway.seen).toEqual([])
}

describe('T1 the gateway refuses, without asking the service,', () => {
  test('no token, another scheme, and what is no token', async () => {
    for (const authorization of [undefined, 'Basic dTpw', 'Bearer', 'Bearer x', 'Bearer a.b.c']) {
      await expectRefused(authorization)
    }
    expect(gateway.seen).toEqual([])
  })

  test('a token of a foreign key', async () => {
    await expectRefused(gateway.authorization([], readSigningKeys(generateSigningKey())))
    expect(gateway.seen).toEqual([])
  })

  test('a token of a key of its own, which is for services', async () => {
    await expectRefused(gateway.authorization([], gateway.signingKeys))
    expect(gateway.seen).toEqual([])
  })

  test('a good internal token', async () => {
    const internal = internalTokens({ keys: gateway.signingKeys })
    const principal = { userId, roles: [], tokenId: 'tok_1' } as const
    for (const audience of ['fixture', 'wattle', 'gateway']) {
      await expectRefused(`Bearer ${internal.tokenFor(principal, audience)}`)
    }
    expect(gateway.seen).toEqual([])
  })

  test('a token that the right key signed as another kind or for another audience', async () => {
    const kinds = [
      { typ: 'JWT', issuer: 'wattle-user' },
      { typ: 'wattle-internal+jwt', issuer: 'wattle-user' },
      { typ: 'at+jwt', issuer: 'wattle-gateway' },
    ]
    for (const kind of kinds) {
      const sign = createSigner({
        keys: gateway.userKeys,
        kind: { ...kind, lifetimeMs: 60_000, tokenIdClaim: 'jti' },
      })
      await expectRefused(`Bearer ${sign({ ...holder, roles: [] }, 'wattle').token}`)
    }
    const good = { typ: 'at+jwt', issuer: 'wattle-user' }
    const kind = { ...good, lifetimeMs: 60_000, tokenIdClaim: 'jti' as const }
    const sign = createSigner({ keys: gateway.userKeys, kind })
    expect((await ask(`Bearer ${sign({ ...holder, roles: [] }, 'wattle').token}`)).status).toBe(200)
    gateway.seen.length = 0
    await expectRefused(`Bearer ${sign({ ...holder, roles: [] }, 'fixture').token}`)
    expect(gateway.seen).toEqual([])
  })

  test('a token that has expired, and says so', async () => {
    const authorization = gateway.authorization()
    clock.nowMs += 14 * 60_000
    expect((await ask(authorization)).status).toBe(200)
    gateway.seen.length = 0
    clock.nowMs += 2 * 60_000
    expect((await ask(authorization)).json()['detail']).toMatch('expired')
    await expectRefused(authorization)
    expect(gateway.seen).toEqual([])
  })

  test('a person where an operator is asked for', async () => {
    const headers = { authorization: gateway.authorization(['support']) }
    const reply = await gateway.call('/api/operate', { headers })
    expect([reply.status, reply.json()['code']]).toEqual([403, 'FORBIDDEN'])
    expect(gateway.seen).toEqual([])
    const operator = { authorization: gateway.authorization(['operator']) }
    expect((await gateway.call('/api/operate', { headers: operator })).status).toBe(200)
  })
})

describe('T3 a revoked token', () => {
  const spend = (authorization: string) =>
    gateway.call('/api/spendings', {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: '{}',
    })

  test('is refused at once on every route, also where it was good a moment ago, and no service hears of it', async () => {
    const authorization = gateway.authorization()
    expect((await ask(authorization)).status).toBe(200)
    gateway.seen.length = 0
    gateway.verdictOf = () => 'revoked'
    try {
      await expectRefused(authorization)
      expect((await spend(authorization)).status).toBe(401)
      expect((await ask(authorization)).json()['detail']).toMatch('has ended')
    } finally {
      gateway.verdictOf = () => 'valid'
    }
    expect((await ask(authorization)).status).toBe(200)
  })

  test('is looked up by its own id, its session, its family, its user and when it was issued', async () => {
    const asked: unknown[] = []
    gateway.verdictOf = (token) => {
      asked.push(token)
      return 'valid'
    }
    try {
      await ask(gateway.authorization())
    } finally {
      gateway.verdictOf = () => 'valid'
    }
    expect(asked).toEqual([
      {
        ...holder,
        roles: [],
        tokenId: expect.stringMatching(/^tok_/) as string,
        issuedAtMs: Math.floor(clock.nowMs / 1000) * 1000,
      },
    ])
  })

  test('of which it is not known: money fails closed with 503 and Retry-After, reading stays open', async () => {
    const authorization = gateway.authorization()
    gateway.verdictOf = () => 'unknown'
    try {
      const refused = await spend(authorization)
      expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1'])
      expect(gateway.seen).toEqual([])
      expect((await ask(authorization)).status).toBe(200)
      const metrics = await gateway.call('/metrics')
      expect(metrics.text).toMatch(
        /wattle_revocation_checks_failed_total\{[^}]*verdict="unknown"[^}]*\} [1-9]/,
      )
      expect(metrics.text).toMatch(/wattle_revocations_synchronized\{[^}]*\} 1/)
    } finally {
      gateway.verdictOf = () => 'valid'
    }
  })

  test('never reaches a service with its session left out of the internal token', async () => {
    await ask(gateway.authorization())
    const sent = gateway.seen.at(-1)?.headers.authorization ?? ''
    const { sessionId, familyId } = holder
    expect(await gateway.internal.verify(sent.replace('Bearer ', ''))).toMatchObject({
      sessionId,
      familyId,
    })
  })
})

describe('T1 a service that refuses the internal token', () => {
  const refusal = { code: 'UNAUTHENTICATED' }
  const refuse = json(refusal, { 'content-type': 'application/problem+json' }, 401)

  test('because it read it too late is busy: 503 with Retry-After, and nobody is logged out for it', async () => {
    gateway.answer = (request, response) => {
      clock.nowMs += 3_000
      refuse(request, response)
    }
    try {
      const reply = await ask(gateway.authorization())
      expect([reply.status, reply.headers['retry-after']]).toEqual([503, '1'])
    } finally {
      gateway.answer = json({ ok: true })
    }
  })

  test('in time has a reason, such as an account that is no more: 401', async () => {
    gateway.answer = refuse
    try {
      expect((await ask(gateway.authorization())).status).toBe(401)
    } finally {
      gateway.answer = json({ ok: true })
    }
  })
})

describe('T1 while the user service is away', () => {
  test('tokens that cannot be checked are answered 503, not 401; public routes work', async () => {
    const accessKeys = remoteKeys({ url: 'http://127.0.0.1:1/.well-known/jwks.json' })
    const alone = await startFixture({ accessKeys })
    try {
      const headers = { authorization: alone.authorization() }
      const reply = await alone.call(`/api/things/${thingId}`, { headers })
      expect([reply.status, reply.headers['retry-after']]).toEqual([503, '1'])
      expect((await alone.call('/api/open')).status).toBe(200)
    } finally {
      await alone.stop()
      await accessKeys.close()
    }
  })

  test('tokens of known keys stay good', async () => {
    const keys = readSigningKeys(generateSigningKey())
    const publisher = await startFixture({ accessKeys: localKeys(keys.jwks) })
    const address = new URL('/.well-known/jwks.json', publisher.url).href
    // The gateway publishes its keys as the user service does: it serves as one here.
    const accessKeys = remoteKeys({ url: address })
    const gateway = await startFixture({ accessKeys })
    try {
      const headers = { authorization: gateway.authorization([], publisher.signingKeys) }
      expect((await gateway.call(`/api/things/${thingId}`, { headers })).status).toBe(200)
      await publisher.stop()
      const again = { authorization: gateway.authorization([], publisher.signingKeys) }
      expect((await gateway.call(`/api/things/${thingId}`, { headers: again })).status).toBe(200)
    } finally {
      await gateway.stop()
      await accessKeys.close()
    }
  })
})
