import type { JwtHeader, KeyFetcher, SignerOptions, VerifierOptions } from 'fast-jwt'
import { refused } from './claims.ts'
import type { KeySource } from './key-source.ts'
import { isKeyId, type SigningKeys } from './keys.ts'
import type { TokenKind } from './token-kind.ts'

/**
 * What the library is told about one kind of token; it leaves open whatever it is not told. The same options go to
 * @fastify/jwt and to fast-jwt, on which it stands.
 */
export function pinnedSign(kind: TokenKind, keys: SigningKeys) {
  return {
    algorithm: 'EdDSA',
    kid: keys.keyId,
    header: { alg: 'EdDSA', typ: kind.typ },
  } as const satisfies SignerOptions
}

export function pinnedVerify(kind: TokenKind, audience: string) {
  return {
    algorithms: ['EdDSA'],
    checkTyp: kind.typ,
    allowedIss: kind.issuer,
    allowedAud: audience,
    requiredClaims: ['exp', 'iat', 'sub', 'jti', 'iss', 'aud'],
    // The library takes a fixed time only; dates are judged in claims.ts, by the injected clock.
    ignoreExpiration: true,
    ignoreNotBefore: true,
    // verifier.ts remembers instead, and forgets when a key is withdrawn.
    cache: false,
  } satisfies VerifierOptions
}

/** Finds the key that a token names; refuses headers that we never write before anything is looked up. */
export function keyFetcher(keys: KeySource): Extract<KeyFetcher, (token: never) => unknown> {
  return async ({ header }: { header: Record<string, unknown> }) => {
    const key = await keys.find(keyIdOf(header))
    if (key === undefined) throw refused('signed by an unknown key')
    return key.publicPem
  }
}

function keyIdOf(header: JwtHeader | Record<string, unknown>): string {
  if (header['alg'] !== 'EdDSA') throw refused('another algorithm')
  const names = Object.keys(header)
  if (names.some((name) => name !== 'alg' && name !== 'typ' && name !== 'kid')) {
    throw refused('a header that our tokens do not carry')
  }
  const keyId = header['kid']
  if (!isKeyId(keyId)) throw refused('the key id is missing or malformed')
  return keyId
}
