/** What one kind of token looks like; signer and verifier pin all of it. */
export type TokenKind = {
  /** The `typ` header (RFC 8725, explicit typing): one kind is never taken for another. */
  readonly typ: string
  readonly issuer: string
  /** How long a new one lives, and the most that a verifier accepts between `iat` and `exp`. */
  readonly lifetimeMs: number
  /** The claim that holds the id of the person's access token. */
  readonly tokenIdClaim: 'jti' | 'tid'
  /** How long after its end it is still taken, for clocks that lie apart; the verifier's tolerance where it is not said. */
  readonly graceAfterEndMs?: number
}

/** Given to a person at login; taken by the gateway alone (RFC 9068 type). */
export const accessTokenKind = {
  typ: 'at+jwt',
  issuer: 'wattle-user',
  audience: 'wattle',
  lifetimeMs: 15 * 60_000,
  tokenIdClaim: 'jti',
} as const satisfies TokenKind & { audience: string }

/**
 * Made by the gateway for one service, whose name is the audience. Its `tid` is the access token's `jti`. Services do not
 * ask whether a session was revoked, the gateway does, at each request; so this ends so soon, and without grace, that
 * 5 seconds after the gateway refuses a session nothing it signed before is good anywhere.
 */
export const internalTokenKind = {
  typ: 'wattle-internal+jwt',
  issuer: 'wattle-gateway',
  lifetimeMs: 5_000,
  tokenIdClaim: 'tid',
  graceAfterEndMs: 0,
} as const satisfies TokenKind

/** Made by a service for another, whose name is the audience; the subject is the service that calls. */
export function serviceTokenKind(service: string): TokenKind {
  return {
    typ: 'wattle-service+jwt',
    issuer: `wattle-${service}`,
    lifetimeMs: 30_000,
    tokenIdClaim: 'jti',
  }
}
