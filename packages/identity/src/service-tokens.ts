import type { SigningKeys } from './keys.ts'
import { createSigner } from './signer.ts'
import { serviceTokenKind } from './token-kind.ts'

/**
 * The tokens by which a service shows others who it is: signed by its own key, 30 seconds each, for one service. One is
 * handed out again for some seconds, see `internalTokens`.
 */
export function serviceTokens(options: {
  readonly keys: SigningKeys
  /** The service that calls. */
  readonly service: string
  readonly reuseMs?: number
  readonly now?: () => number
}) {
  const { keys, service, reuseMs = 10_000, now = Date.now } = options
  const sign = createSigner({ keys, kind: serviceTokenKind(service), now })
  const signed = new Map<string, { token: string; signedAtMs: number }>()

  function tokenFor(target: string): string {
    const present = signed.get(target)
    const ageMs = present === undefined ? Infinity : now() - present.signedAtMs
    if (present !== undefined && ageMs >= 0 && ageMs < reuseMs) return present.token
    const { token } = sign({ service }, target)
    signed.set(target, { token, signedAtMs: now() })
    return token
  }

  return { tokenFor, jwks: keys.jwks }
}
