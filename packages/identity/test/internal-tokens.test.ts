import { AppError } from '@wattle/contracts'
import { describe, expect, test } from 'vitest'
import {
  bearerAuthentication,
  internalTokens,
  internalTokenVerifier,
  localKeys,
} from '../src/index.ts'
import { accessClaims, accessTokensOf, forge, someKeys, startMs, userId, holder } from './forge.ts'

const principal = { userId, roles: ['operator'], tokenId: 'tok_access' } as const

function world(options: { maxEntries?: number } = {}) {
  const keys = someKeys()
  const clock = { nowMs: startMs }
  const now = () => clock.nowMs
  const source = localKeys(keys.jwks)
  const billing = internalTokenVerifier({ keys: source, service: 'billing', now })
  return { keys, clock, now, source, billing, gateway: internalTokens({ keys, now, ...options }) }
}

const is401 = (error: unknown) => error instanceof AppError && error.code === 'UNAUTHENTICATED'

describe('T1 an internal token', () => {
  test('tells its service who asks and with which access token', async () => {
    const { gateway, billing } = world()
    expect(await billing.verify(gateway.tokenFor(principal, 'billing'))).toEqual(principal)
  })

  test('for one service is refused by another', async () => {
    const { gateway, billing } = world()
    await expect(billing.verify(gateway.tokenFor(principal, 'user'))).rejects.toSatisfy(is401)
  })

  test('is worth nothing 5 seconds after the gateway signed it, also where it was seen before', async () => {
    const { gateway, billing, clock } = world()
    const token = gateway.tokenFor(principal, 'billing')
    clock.nowMs += 4_000
    await billing.verify(token)
    clock.nowMs += 1_000
    await expect(billing.verify(token)).rejects.toSatisfy(is401)
    await expect(billing.verify(token)).rejects.toSatisfy(is401)
  })

  test('with a longer life is refused even if the key is right', async () => {
    const { keys, billing } = world()
    const iat = Math.floor(startMs / 1000)
    const claims = accessClaims({
      iss: 'wattle-gateway',
      aud: 'billing',
      tid: 'tok_access',
      exp: iat + 6,
    })
    const token = forge(
      { alg: 'EdDSA', typ: 'wattle-internal+jwt', kid: keys.keyId },
      claims,
      keys.privatePem,
    )
    await expect(billing.verify(token)).rejects.toSatisfy(is401)
  })

  test('is not an access token, nor an access token an internal one, even under one key', async () => {
    const { keys, now, gateway, billing } = world()
    const people = await accessTokensOf({ signingKeys: keys, now })
    const access = people.issue({ ...holder, roles: [] }).token
    await people.verify(access)
    await expect(billing.verify(access)).rejects.toSatisfy(is401)
    for (const service of ['billing', 'wattle', 'user']) {
      const internal = gateway.tokenFor(principal, service)
      await expect(people.verify(internal)).rejects.toSatisfy(is401)
    }
  })

  test('is handed out again for a second, per access token, service and roles', () => {
    const { gateway, clock } = world()
    const first = gateway.tokenFor(principal, 'billing')
    clock.nowMs += 999
    expect(gateway.tokenFor(principal, 'billing')).toBe(first)
    expect(gateway.tokenFor(principal, 'user')).not.toBe(first)
    expect(gateway.tokenFor({ ...principal, tokenId: 'tok_2' }, 'billing')).not.toBe(first)
    expect(gateway.tokenFor({ ...principal, roles: [] }, 'billing')).not.toBe(first)
    const again = gateway.tokenFor(principal, 'billing')
    clock.nowMs += 1_000
    expect(gateway.tokenFor(principal, 'billing')).not.toBe(again)
  })

  test('has three seconds left at least when it is handed out, for clocks that lie apart', async () => {
    const { gateway, billing, clock } = world()
    for (let step = 0; step < 200; step++) {
      clock.nowMs += 37
      const token = gateway.tokenFor(principal, 'billing')
      clock.nowMs += 2_999
      expect(await billing.verify(token)).toMatchObject({ userId })
      clock.nowMs -= 2_999
    }
  })

  test('carries the session of the access token, and is not handed out for another session', async () => {
    const { gateway, billing } = world()
    const one = { ...holder, roles: [], tokenId: 'tok_access' } as const
    const token = gateway.tokenFor(one, 'billing')
    expect(await billing.verify(token)).toEqual(one)
    const other = 'ses_01936b0e-7c1a-7000-8000-000000000009'
    expect(gateway.tokenFor({ ...one, sessionId: other }, 'billing')).not.toBe(token)
  })

  test('stays right when more people are active than are remembered', async () => {
    const { gateway, billing } = world({ maxEntries: 3 })
    for (let n = 0; n < 10; n++) {
      const one = { userId, roles: [], tokenId: `tok_${n % 5}` } as const
      expect(await billing.verify(gateway.tokenFor(one, 'billing'))).toEqual(one)
    }
  })

  test('is not handed out again when the clock was set back', () => {
    const { gateway, clock } = world()
    const first = gateway.tokenFor(principal, 'billing')
    clock.nowMs -= 3_600_000
    expect(gateway.tokenFor(principal, 'billing')).not.toBe(first)
  })
})

describe('T1 the Authorization header', () => {
  test('is read as Bearer, whatever the case of the word', async () => {
    const { gateway, billing } = world()
    const authenticate = bearerAuthentication(billing)
    const token = gateway.tokenFor(principal, 'billing')
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      const headers = { authorization: `${scheme} ${token}` }
      expect(await authenticate({ headers })).toEqual(principal)
    }
  })

  test('that is missing or of another form is refused with 401', async () => {
    const { gateway, billing } = world()
    const authenticate = bearerAuthentication(billing)
    const token = gateway.tokenFor(principal, 'billing')
    const bad = [undefined, '', 'Bearer', 'Bearer ', `Basic ${token}`, token, `Bearer ${token} x`]
    const odd = [`Bearer ${token},${token}`, `Bearer\t${token}`, `Bearer "${token}"`]
    for (const authorization of [...bad, ...odd]) {
      await expect(authenticate({ headers: { authorization } })).rejects.toSatisfy(is401)
    }
  })
})
