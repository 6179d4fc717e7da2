import { newId, type Id } from '@wattle/contracts'
import { createSigner as createJwtSigner } from 'fast-jwt'
import type { SigningKeys } from './keys.ts'
import type { TokenKind } from './token-kind.ts'

export type TokenSubject = {
  readonly userId: Id<'usr'>
  readonly roles: readonly string[]
  /** For a token that stands for an access token: the id of that one. */
  readonly tokenId?: string
}

export type SignedToken = {
  readonly token: string
  readonly tokenId: string
  readonly expiresAtMs: number
}

export type SignerOptions = {
  readonly keys: SigningKeys
  readonly kind: TokenKind
  readonly now?: () => number
}

/** Signs tokens of one kind (EdDSA, about 35 µs each). The `kid` header names the key. */
export function createSigner({ keys, kind, now = Date.now }: SignerOptions) {
  const sign = createJwtSigner({
    key: keys.privatePem,
    algorithm: 'EdDSA',
    kid: keys.keyId,
    header: { alg: 'EdDSA', typ: kind.typ },
  })
  return (subject: TokenSubject, audience: string): SignedToken => {
    const jti = newId('tok')
    const iat = Math.floor(now() / 1000)
    const exp = iat + kind.lifetimeMs / 1000
    const token = sign({
      iss: kind.issuer,
      aud: audience,
      sub: subject.userId,
      jti,
      iat,
      exp,
      roles: subject.roles,
      ...(kind.tokenIdClaim === 'jti' ? {} : { [kind.tokenIdClaim]: subject.tokenId }),
    })
    return { token, tokenId: jti, expiresAtMs: exp * 1000 }
  }
}
