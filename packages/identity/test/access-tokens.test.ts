import { AppError } from '@wattle/contracts'
import { generateKeyPairSync, sign as rawSign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  accessClaims,
  accessTokensOf,
  encode,
  forge,
  forgeHmac,
  someKeys,
  startMs,
  userId,
  holder,
} from './forge.ts'

async function world() {
  const keys = someKeys()
  const clock = { nowMs: startMs }
  const now = () => clock.nowMs
  const tokens = await accessTokensOf({ signingKeys: keys, now })
  const header = { alg: 'EdDSA', typ: 'at+jwt', kid: keys.keyId }
  const forged = (payload: unknown, headerChanges: object = {}) =>
    forge({ ...header, ...headerChanges }, payload, keys.privatePem)
  return { keys, clock, verifier: tokens, header, forged, tokens }
}

/** The reason for which a token is refused; fails when it is taken, or refused with anything but 401. */
async function refusal(verification: Promise<unknown>): Promise<string> {
  const error: unknown = await verification.then(
    () => undefined,
    (caught: unknown) => caught,
  )
  if (!(error instanceof AppError)) throw new Error(`not refused: ${String(error)}`)
  expect(error.code).toBe('UNAUTHENTICATED')
  return error.cause instanceof Error ? error.cause.message : String(error.cause)
}

describe('T1 an access token', () => {
  test('that was issued is verified, and says who and which token', async () => {
    const { tokens, verifier } = await world()
    const { token, tokenId } = tokens.issue({ ...holder, roles: ['operator'] })
    const principal = await verifier.verify(token)
    const issuedAtMs = Math.floor(startMs / 1000) * 1000
    expect(principal).toEqual({ ...holder, roles: ['operator'], tokenId, issuedAtMs })
    expect(await verifier.verify(token)).toEqual(principal)
  })

  test('carries algorithm, type and key id, and lives 15 minutes', async () => {
    const { tokens, keys } = await world()
    const { token, expiresAtMs } = tokens.issue({ ...holder, roles: [] })
    const [header, payload] = token
      .split('.')
      .slice(0, 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as object)
    expect(header).toEqual({ alg: 'EdDSA', typ: 'at+jwt', kid: keys.keyId })
    expect(payload).toMatchObject({ iss: 'wattle-user', aud: 'wattle', sub: userId })
    expect(expiresAtMs - Math.floor(startMs / 1000) * 1000).toBe(900_000)
  })

  test('handed to one caller cannot be changed for the next', async () => {
    const { tokens, verifier } = await world()
    const { token } = tokens.issue({ ...holder, roles: ['operator'] })
    const first = await verifier.verify(token)
    expect(() => (first.roles as string[]).push('admin')).toThrow(TypeError)
    expect(() => Object.assign(first, { userId: 'usr_other' })).toThrow(TypeError)
  })

  test('is good until it ends, plus the tolerance between clocks, also when it was cached', async () => {
    const { tokens, verifier, clock } = await world()
    const { token, expiresAtMs } = tokens.issue({ ...holder, roles: [] })
    await verifier.verify(token)
    clock.nowMs = expiresAtMs + 4_999
    await verifier.verify(token)
    clock.nowMs = expiresAtMs + 5_000
    expect(await refusal(verifier.verify(token))).toBe('expired')
  })
})

describe('T1 algorithm confusion', () => {
  test.each([256, 384, 512])(
    'HS%i with any form of the public key as secret is refused',
    async (bits) => {
      const { keys, verifier, header } = await world()
      const [jwk] = keys.jwks.keys
      const secrets = [
        keys.publicPem,
        keys.publicPem.trim(),
        ` ${keys.publicPem}`,
        keys.publicPem.replaceAll(/-----.*-----|\n/g, ''),
        jwk?.x ?? '',
        Buffer.from(jwk?.x ?? '', 'base64url'),
        JSON.stringify(jwk),
        JSON.stringify(keys.jwks),
        '',
      ]
      for (const secret of secrets) {
        const token = forgeHmac({ ...header, alg: `HS${bits}` }, accessClaims(), secret, bits)
        expect(await refusal(verifier.verify(token))).toBe('another algorithm')
        const disguised = forgeHmac(header, accessClaims(), secret, bits)
        expect(await refusal(verifier.verify(disguised))).toMatch(/signature/i)
      }
    },
  )

  test.each(['none', 'None', 'NONE', 'nOnE', '', null, undefined, 0, ['EdDSA'], { a: 'EdDSA' }])(
    'alg %j is refused, signed or not',
    async (alg) => {
      const { verifier, header, forged } = await world()
      const unsigned = `${encode({ ...header, alg })}.${encode(accessClaims())}.`
      expect(await refusal(verifier.verify(unsigned))).toBe('another algorithm')
      expect(await refusal(verifier.verify(forged(accessClaims(), { alg })))).toBe(
        'another algorithm',
      )
    },
  )

  test('EdDSA without a signature is refused', async () => {
    const { verifier, header } = await world()
    const token = `${encode(header)}.${encode(accessClaims())}.`
    expect(await refusal(verifier.verify(token))).toMatch(/signature is missing/i)
  })

  test('another signature scheme under a key id of ours is refused', async () => {
    const { verifier, header } = await world()
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519', 'ES256K', 'dir']) {
      const input = `${encode({ ...header, alg })}.${encode(accessClaims())}`
      const signature = rawSign('sha256', Buffer.from(input), rsa).toString('base64url')
      const reason = await refusal(verifier.verify(`${input}.${signature}`))
      expect(reason).toMatch(/another algorithm|signature/)
    }
  })
})

describe('T1 a forged token', () => {
  test('by a foreign key is refused, with its own key id or ours', async () => {
    const { verifier, header } = await world()
    const foreign = someKeys()
    const borrowed = forge(header, accessClaims(), foreign.privatePem)
    expect(await refusal(verifier.verify(borrowed))).toMatch(/signature/i)
    const own = forge({ ...header, kid: foreign.keyId }, accessClaims(), foreign.privatePem)
    expect(await refusal(verifier.verify(own))).toBe('signed by an unknown key')
  })

  test('that brings its own key or key address is refused', async () => {
    const { verifier, header } = await world()
    const foreign = someKeys()
    const extras = {
      jwk: foreign.jwks.keys[0],
      jku: 'http://127.0.0.1:1/keys',
      x5u: 'http://127.0.0.1:1/cert',
      x5c: ['MIIB'],
      crit: ['b64'],
      b64: false,
      cty: 'JWT',
    }
    for (const [name, value] of Object.entries(extras)) {
      const token = forge({ ...header, [name]: value }, accessClaims(), foreign.privatePem)
      expect(await refusal(verifier.verify(token))).toBe('a header that our tokens do not carry')
    }
  })

  test.each([
    undefined,
    null,
    '',
    1,
    ['x'],
    '../../etc/passwd',
    '/dev/null',
    '__proto__',
    'constructor',
    'toString',
    "' OR 1=1 --",
    'http://127.0.0.1:1/key',
    'a\u0000b',
    'k'.repeat(44),
  ])('with the key id %j is refused before any look-up', async (kid) => {
    const { verifier, forged } = await world()
    expect(await refusal(verifier.verify(forged(accessClaims(), { kid })))).toBe(
      'the key id is missing or malformed',
    )
  })

  test('with one changed byte is refused', async () => {
    const { verifier, tokens } = await world()
    const { token } = tokens.issue({ ...holder, roles: [] })
    await verifier.verify(token)
    for (const at of [5, token.indexOf('.') + 9, token.lastIndexOf('.') + 9]) {
      const other = token[at] === 'A' ? 'B' : 'A'
      const changed = token.slice(0, at) + other + token.slice(at + 1)
      expect(await refusal(verifier.verify(changed))).toMatch(/signature|malformed|valid|key/)
    }
  })

  test('that is no token at all is refused', async () => {
    const { verifier, keys, header } = await world()
    const junk = ['', '.', '..', '...', 'a.b.c', 'null', '{}', '\u0000', '💥.💥.💥', ' . . ']
    const heads = ['null', '[]', '"x"', '1', '{', '{"alg":"EdDSA"']
    const odd = heads.map((head) => forge(head, accessClaims(), keys.privatePem))
    const bodies = ['null', '[]', '"x"', '1', '{', ''].map((body) =>
      forge(header, body, keys.privatePem),
    )
    for (const token of [...junk, ...odd, ...bodies]) {
      expect(await refusal(verifier.verify(token))).toMatch(/token|payload|algorithm/)
    }
  })

  test('that is longer than any of ours is refused unread', async () => {
    const { verifier, forged } = await world()
    const long = forged(accessClaims({ padding: 'x'.repeat(5_000) }))
    expect(await refusal(verifier.verify(long))).toBe('longer than any token of ours')
    expect(await refusal(verifier.verify('a'.repeat(10_000_000)))).toMatch(/longer/)
  })

  test('with blanks, padding or further parts is refused', async () => {
    const { verifier, tokens } = await world()
    const { token } = tokens.issue({ ...holder, roles: [] })
    for (const odd of [`${token}=`, ` ${token}`, `${token}\n`, `${token}.x`, `x.${token}`]) {
      expect(await refusal(verifier.verify(odd))).toMatch(/token/)
    }
  })
})

describe('T1 a token that our key signed but that does not fit', () => {
  const second = Math.floor(startMs / 1000)
  const cases: readonly [string, Record<string, unknown>, RegExp][] = [
    ['another audience', { aud: 'billing' }, /aud/],
    ['a list of audiences', { aud: ['wattle', 'billing'] }, /audience/],
    ['an audience that begins the same', { aud: 'wattle-other' }, /aud/],
    ['no audience', { aud: undefined }, /aud/],
    ['another issuer', { iss: 'wattle-gateway' }, /iss/],
    ['a list of issuers', { iss: ['wattle-user'] }, /iss/],
    ['no issuer', { iss: undefined }, /iss/],
    ['an end in the past', { iat: second - 910, exp: second - 10 }, /expired/],
    ['no end', { exp: undefined }, /exp/],
    ['an end of null', { exp: null }, /exp/],
    ['an end as text', { exp: `${second + 900}` }, /exp/],
    ['an end with a fraction', { exp: second + 0.5 }, /exp/],
    ['an end beyond numbers', { exp: 1e300 }, /exp/],
    ['a negative end', { exp: -1 }, /exp/],
    ['an end before its beginning', { exp: second - 1 }, /ends before/],
    ['a life of years', { exp: second + 3_000_000 }, /lives longer/],
    ['a life of one second more', { exp: second + 901 }, /lives longer/],
    ['no beginning', { iat: undefined }, /iat/],
    ['a beginning far ahead', { iat: second + 3600, exp: second + 3700 }, /future/],
    ['a not-before far ahead', { nbf: second + 3600 }, /not valid yet/],
    ['a not-before as text', { nbf: 'now' }, /nbf/],
    ['no subject', { sub: undefined }, /sub/],
    ['a subject of another kind', { sub: 'bil_01936b0e-7c1a-7000-8000-000000000001' }, /sub/],
    ['a list of subjects', { sub: [userId] }, /sub/],
    ['a subject with a line break', { sub: `${userId}\n` }, /sub/],
    ['no jti', { jti: undefined }, /jti/],
    ['a jti of 2,000 characters', { jti: 'x'.repeat(2_000) }, /jti/],
    ['no roles', { roles: undefined }, /roles/],
    ['roles as text', { roles: 'operator' }, /roles/],
    ['no session', { sid: undefined }, /sid/],
    ['neither session nor family', { sid: undefined, fam: undefined }, /sid/],
    ['a session of another kind', { sid: userId }, /sid/],
    ['a session as a list', { sid: ['ses_01936b0e-7c1a-7000-8000-000000000003'] }, /sid/],
    ['no family', { fam: undefined }, /fam/],
    ['a family of another kind', { fam: 'ses_01936b0e-7c1a-7000-8000-000000000003' }, /fam/],
    ['roles that are no names', { roles: [{ operator: true }] }, /roles/],
  ]
  test.each(cases)('because of %s is refused', async (_name, changes, reason) => {
    const { verifier, forged } = await world()
    expect(await refusal(verifier.verify(forged(accessClaims(changes))))).toMatch(reason)
  })

  test.each([undefined, 'JWT', 'wattle-internal+jwt', 'jwt', '', 1, null])(
    'because of the type %j is refused',
    async (typ) => {
      const { verifier, forged } = await world()
      expect(await refusal(verifier.verify(forged(accessClaims(), { typ })))).toMatch(/typ/i)
    },
  )

  test('within the tolerance between clocks is taken', async () => {
    const { verifier, forged } = await world()
    const ahead = accessClaims({ iat: second + 4, exp: second + 904 })
    expect(await verifier.verify(forged(ahead))).toMatchObject({ userId })
  })
})
