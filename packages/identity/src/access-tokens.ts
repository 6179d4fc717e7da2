import { personOf, type Principal } from './claims.ts'
import type { KeySource } from './key-source.ts'
import type { SigningKeys } from './keys.ts'
import { createSigner, type SignedToken, type TokenSubject } from './signer.ts'
import { accessTokenKind } from './token-kind.ts'
import { createVerifier, type Verifier } from './verifier.ts'

/** Signs access tokens, 15 minutes each; for the user service. */
export function accessTokens(options: { keys: SigningKeys; now?: () => number }) {
  const sign = createSigner({ ...options, kind: accessTokenKind })
  return {
    issue: (subject: TokenSubject): SignedToken => sign(subject, accessTokenKind.audience),
    lifetimeSeconds: accessTokenKind.lifetimeMs / 1000,
    jwks: options.keys.jwks,
  }
}

/** Verifies access tokens; for the gateway. */
export function accessTokenVerifier(options: { keys: KeySource; now?: () => number }): Verifier<Principal> {
  const { keys, ...rest } = options
  const accepts = [{ keys, kind: accessTokenKind, principalOf: personOf }] as const
  return createVerifier({ ...rest, accepts, audience: accessTokenKind.audience })
}
