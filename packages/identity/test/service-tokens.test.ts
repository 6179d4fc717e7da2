import { AppError } from '@wattle/contracts'
import { describe, expect, test } from 'vitest'
import {
  accessTokenKind,
  createSigner,
  internalTokenKind,
  internalTokens,
  internalTokenVerifier,
  localKeys,
  serviceTokenKind,
  serviceTokens,
  type TokenKind,
} from '../src/index.ts'
import { accessTokensOf, forge, someKeys, startMs, userId, holder } from './forge.ts'

const person = { ...holder, roles: ['operator'], tokenId: 'tok_access' } as const

/** Billing, which payment may call and document may not; each signs with a key of its own. */
function world() {
  const keys = { user: someKeys(), gateway: someKeys(), payment: someKeys(), document: someKeys() }
  const clock = { nowMs: startMs }
  const now = () => clock.nowMs
  const gatewayKeys = localKeys(keys.gateway.jwks)
  const callers = { payment: localKeys(keys.payment.jwks) }
  const billing = internalTokenVerifier({ keys: gatewayKeys, service: 'billing', callers, now })
  const payment = serviceTokens({ keys: keys.payment, service: 'payment', now })
  const gateway = internalTokens({ keys: keys.gateway, now })
  return { keys, clock, now, gatewayKeys, billing, payment, gateway }
}

async function expectRefused(verification: Promise<unknown>, reason = /./) {
  const error: unknown = await verification.then(
    (taken) => new Error(`taken: ${JSON.stringify(taken)}`),
    (caught: unknown) => caught,
  )
  if (!(error instanceof AppError)) throw error
  expect(error.code).toBe('UNAUTHENTICATED')
  expect(String(error.cause)).toMatch(reason)
}

describe('T1 a service token', () => {
  test('tells the called service who calls, and gives no roles', async () => {
    const { billing, payment } = world()
    const token = payment.tokenFor('billing')
    const principal = await billing.verify(token)
    expect(principal).toEqual({ service: 'payment', roles: [] })
    expect(await billing.verify(token)).toBe(principal)
    expect(() => (principal.roles as string[]).push('operator')).toThrow(TypeError)
  })

  test('names its kind, its service, its target and its key, and lives 30 seconds', () => {
    const { payment, keys } = world()
    const [header, claims] = payment
      .tokenFor('billing')
      .split('.')
      .slice(0, 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as object)
    const iat = Math.floor(startMs / 1000)
    expect(header).toEqual({ alg: 'EdDSA', typ: 'wattle-service+jwt', kid: keys.payment.keyId })
    expect(claims).toEqual({
      iss: 'wattle-payment',
      sub: 'payment',
      aud: 'billing',
      jti: expect.stringMatching(/^tok_/) as string,
      iat,
      exp: iat + 30,
    })
  })

  test('leaves internal tokens of people good beside it', async () => {
    const { billing, gateway } = world()
    expect(await billing.verify(gateway.tokenFor(person, 'billing'))).toEqual(person)
  })

  test('is worth nothing after 30 seconds and the tolerance, nor when it lives longer', async () => {
    const { billing, payment, clock, keys, now } = world()
    const token = payment.tokenFor('billing')
    clock.nowMs += 29_000
    await billing.verify(token)
    clock.nowMs += 6_500
    await expectRefused(billing.verify(token), /expired/)
    const kind = { ...serviceTokenKind('payment'), lifetimeMs: 31_000 }
    const sign = createSigner({ keys: keys.payment, kind, now })
    await expectRefused(
      billing.verify(sign({ service: 'payment' }, 'billing').token),
      /lives longer/,
    )
  })

  test('is handed out again for some seconds, per target', () => {
    const { payment, clock } = world()
    const first = payment.tokenFor('billing')
    clock.nowMs += 9_999
    expect(payment.tokenFor('billing')).toBe(first)
    expect(payment.tokenFor('user')).not.toBe(first)
    clock.nowMs += 1
    expect(payment.tokenFor('billing')).not.toBe(first)
    const second = payment.tokenFor('billing')
    clock.nowMs -= 3_600_000
    expect(payment.tokenFor('billing')).not.toBe(second)
  })
})

describe('T1 billing, which payment alone may call, refuses', () => {
  test('a token for another service', async () => {
    const { billing, payment } = world()
    for (const target of ['user', 'payment', 'wattle', 'billing2', '']) {
      await expectRefused(billing.verify(payment.tokenFor(target)), /aud/)
    }
  })

  test('a service that is not among its callers', async () => {
    const { billing, keys, now } = world()
    const document = serviceTokens({ keys: keys.document, service: 'document', now })
    await expectRefused(billing.verify(document.tokenFor('billing')))
  })

  test('a service that signs in the name of another', async () => {
    const { billing, keys, now } = world()
    for (const wrong of [keys.document, keys.user, keys.gateway]) {
      const forger = serviceTokens({ keys: wrong, service: 'payment', now })
      await expectRefused(billing.verify(forger.tokenFor('billing')), /unknown key/)
      const borrowed = { ...wrong, keyId: keys.payment.keyId }
      const disguised = serviceTokens({ keys: borrowed, service: 'payment', now })
      await expectRefused(billing.verify(disguised.tokenFor('billing')), /signature/)
    }
  })

  test('a caller that says it is another service, or a person', async () => {
    const { billing, keys, now } = world()
    const kind = serviceTokenKind('payment')
    const sign = createSigner({ keys: keys.payment, kind, now })
    await expectRefused(billing.verify(sign({ service: 'gateway' }, 'billing').token), /sub/)
    await expectRefused(billing.verify(sign(person, 'billing').token), /sub/)
  })

  test('every service token, where it has no callers', async () => {
    const { gatewayKeys, now, payment } = world()
    const user = internalTokenVerifier({ keys: gatewayKeys, service: 'user', now })
    await expectRefused(user.verify(payment.tokenFor('user')))
  })

  test('a token without a subject, or with one that is no name', async () => {
    const { billing, keys } = world()
    const header = { alg: 'EdDSA', typ: 'wattle-service+jwt', kid: keys.payment.keyId }
    const iat = Math.floor(startMs / 1000)
    const good = { iss: 'wattle-payment', aud: 'billing', jti: 'tok_1', iat, exp: iat + 30 }
    const tokenWith = (sub: unknown) => forge(header, { ...good, sub }, keys.payment.privatePem)
    expect(await billing.verify(tokenWith('payment'))).toMatchObject({ service: 'payment' })
    for (const sub of [undefined, null, '', ['payment'], 'Payment', 'payment\n', userId]) {
      await expectRefused(billing.verify(tokenWith(sub)), /sub/)
    }
  })
})

describe('T1 the three kinds of token', () => {
  const kinds = {
    access: accessTokenKind,
    internal: internalTokenKind,
    service: serviceTokenKind('payment'),
  } satisfies Record<string, TokenKind>
  const combinations = Object.values(kinds).flatMap(({ typ }) =>
    Object.values(kinds).flatMap(({ issuer }) =>
      (['user', 'gateway', 'payment'] as const).flatMap((signer) =>
        ([person, { service: 'payment' }] as const).map((subject) => ({
          typ,
          issuer,
          signer,
          subject,
          isGood:
            (typ === kinds.internal.typ &&
              issuer === kinds.internal.issuer &&
              signer === 'gateway' &&
              'userId' in subject) ||
            (typ === kinds.service.typ &&
              issuer === kinds.service.issuer &&
              signer === 'payment' &&
              'service' in subject),
        })),
      ),
    ),
  )

  test('are never taken for one another: of all mixtures two are good in a service', async () => {
    const { billing, keys, now } = world()
    const taken: unknown[] = []
    for (const { typ, issuer, signer, subject, isGood } of combinations) {
      const kind = { typ, issuer, lifetimeMs: 5_000, tokenIdClaim: 'tid' } as const
      const { token } = createSigner({ keys: keys[signer], kind, now })(subject, 'billing')
      if (isGood) taken.push(await billing.verify(token))
      else await expectRefused(billing.verify(token))
    }
    expect(taken).toEqual([person, { service: 'payment', roles: [] }])
  })

  test('are told apart even if one key signs them all', async () => {
    const shared = someKeys()
    const now = () => startMs
    const source = localKeys(shared.jwks)
    const billing = internalTokenVerifier({
      keys: source,
      service: 'billing',
      callers: { payment: source, document: source },
      now,
    })
    for (const { typ, issuer, subject } of combinations) {
      const kind = { typ, issuer, lifetimeMs: 5_000, tokenIdClaim: 'tid' } as const
      const { token } = createSigner({ keys: shared, kind, now })(subject, 'billing')
      const isPerson = typ === kinds.internal.typ && issuer === kinds.internal.issuer
      const isService = typ === kinds.service.typ && issuer === kinds.service.issuer
      if (isPerson && 'userId' in subject) expect(await billing.verify(token)).toEqual(person)
      else if (isService && 'service' in subject) {
        expect(await billing.verify(token)).toEqual({ service: 'payment', roles: [] })
      } else await expectRefused(billing.verify(token))
    }
    const people = await accessTokensOf({ signingKeys: shared, now })
    await expectRefused(billing.verify(people.issue(person).token))
    for (const { typ, issuer, subject } of combinations) {
      const kind = { typ, issuer, lifetimeMs: 5_000, tokenIdClaim: 'tid' } as const
      const { token } = createSigner({ keys: shared, kind, now })(subject, 'wattle')
      const isGood = typ === kinds.access.typ && issuer === kinds.access.issuer
      if (isGood && 'userId' in subject)
        expect(await people.verify(token)).toMatchObject({ userId })
      else await expectRefused(people.verify(token))
    }
  })
})
