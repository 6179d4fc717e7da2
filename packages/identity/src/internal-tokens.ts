import { personOf, serviceOf, type Principal, type ServicePrincipal } from './claims.ts'
import { currentKeys, type KeyRing } from './key-ring.ts'
import type { KeySource } from './key-source.ts'
import type { SigningKeys } from './keys.ts'
import { recentMap } from './recent-map.ts'
import { createSigner } from './signer.ts'
import { internalTokenKind, serviceTokenKind } from './token-kind.ts'
import { createVerifier, type Accepted, type Verifier } from './verifier.ts'

export type InternalTokensOptions = {
  readonly keys: SigningKeys | KeyRing
  /** How long one signed token is handed out again; well under its 5 seconds of life. */
  readonly reuseMs?: number
  readonly maxEntries?: number
  readonly now?: () => number
}

/**
 * The gateway's tokens for services: each good for 5 seconds and one service. One is handed out again for a
 * second per access token and service: that saves the signature here (40 µs) and, more, its check in the service
 * (145 µs), which then finds it in its cache. Three seconds are left at least when it is handed out, which is how far the
 * clock of a service may be ahead.
 */
export function internalTokens(options: InternalTokensOptions) {
  const { keys, reuseMs = 1_000, maxEntries = 10_000, now = Date.now } = options
  const sign = createSigner({ keys, kind: internalTokenKind, now })
  const signed = recentMap<{ principal: Principal; token: string; signedAtMs: number }>(maxEntries)

  function tokenFor(principal: Principal, service: string): string {
    const slot = `${service} ${principal.tokenId}`
    const present = signed.get(slot)
    const ageMs = present === undefined ? Infinity : now() - present.signedAtMs
    if (present !== undefined && ageMs >= 0 && ageMs < reuseMs && speaksFor(present, principal)) {
      return present.token
    }
    const { token } = sign(principal, service)
    signed.set(slot, { principal, token, signedAtMs: now() })
    return token
  }

  return {
    tokenFor,
    /** The public keys of this moment. */
    get jwks() {
      return currentKeys(keys).jwks
    },
  }
}

function speaksFor(held: { principal: Principal }, principal: Principal): boolean {
  return (
    held.principal.userId === principal.userId &&
    held.principal.sessionId === principal.sessionId &&
    held.principal.roles.join(' ') === principal.roles.join(' ')
  )
}

/**
 * Verifies the gateway's tokens for one service, and the tokens of those services that may call it: each by that
 * service's own keys.
 */
export function internalTokenVerifier(options: {
  /** The gateway's keys. */
  keys: KeySource
  service: string
  now?: () => number
}): Verifier<Principal>
export function internalTokenVerifier(options: {
  keys: KeySource
  service: string
  /** The keys of each service that may call this one, by its name. */
  callers: Readonly<Record<string, KeySource>>
  now?: () => number
}): Verifier<Principal | ServicePrincipal>
export function internalTokenVerifier(options: {
  keys: KeySource
  service: string
  callers?: Readonly<Record<string, KeySource>>
  now?: () => number
}): Verifier<Principal | ServicePrincipal> {
  const { keys, service, callers = {}, now = Date.now } = options
  const people = { keys, kind: internalTokenKind, principalOf: personOf }
  const services = Object.entries(callers).map(
    ([caller, callerKeys]): Accepted<ServicePrincipal> => ({
      keys: callerKeys,
      kind: serviceTokenKind(caller),
      principalOf: serviceOf(caller),
    }),
  )
  return createVerifier<Principal | ServicePrincipal>({
    accepts: [people, ...services],
    audience: service,
    now,
  })
}
