import type { Id } from '@wattle/contracts'
import { createSigner, type SigningKeys } from '@wattle/identity'

const reuseMs = 10_000

/**
 * The tokens by which this service shows others who it is: signed by its own key, whose public half stands at its
 * `/.well-known/jwks.json`; 30 seconds each, for one audience, with the service as the subject. One is handed out again
 * for ten seconds.
 */
export function serviceTokens(options: {
  keys: SigningKeys
  service: string
  now: () => number
}): (audience: string) => string {
  const { keys, service, now } = options
  const sign = createSigner({
    keys,
    now,
    kind: {
      typ: 'wattle-service+jwt',
      issuer: `wattle-${service}`,
      lifetimeMs: 30_000,
      tokenIdClaim: 'jti',
    },
  })
  // The signer was made for people; a service is named where they are.
  const subject = { userId: service as Id<'usr'>, roles: [] }
  const held = new Map<string, { token: string; signedAtMs: number }>()

  return (audience) => {
    const present = held.get(audience)
    const ageMs = present === undefined ? Infinity : now() - present.signedAtMs
    if (present !== undefined && ageMs >= 0 && ageMs < reuseMs) return present.token
    const { token } = sign(subject, audience)
    held.set(audience, { token, signedAtMs: now() })
    return token
  }
}
