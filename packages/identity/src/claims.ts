import { AppError, type Id } from '@wattle/contracts'
import type { TokenKind } from './token-kind.ts'

/** The person who makes a request, as a verified token says. */
export type Principal = {
  readonly userId: Id<'usr'>
  readonly roles: readonly string[]
  /** `jti` of the access token that the request came in with. */
  readonly tokenId: string
  /** The session that the access token belongs to, and its family of refresh tokens. */
  readonly sessionId?: Id<'ses'>
  readonly familyId?: Id<'fam'>
}

/** Who holds an access token, and all by which it can be revoked. */
export type AccessPrincipal = Principal & {
  readonly sessionId: Id<'ses'>
  readonly familyId: Id<'fam'>
  /** When it was issued, to the second. */
  readonly issuedAtMs: number
}

/** The service that makes a request, as a verified token says. */
export type ServicePrincipal = {
  readonly service: string
  readonly roles: readonly string[]
}

export type ClaimRules = {
  readonly kind: TokenKind
  readonly audience: string
  readonly clockToleranceMs: number
}

const idForm = /^([a-z]{3})_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const tokenIdForm = /^[A-Za-z0-9_-]{1,64}$/
const roleForm = /^[a-z][a-z_-]{0,31}$/

/** 401 with one public sentence; the exact reason is the cause, for the log. */
export function refused(reason: unknown, publicMessage = 'The access token is not valid.') {
  const cause = typeof reason === 'string' ? new Error(reason) : reason
  return new AppError('UNAUTHENTICATED', publicMessage, { cause })
}

/**
 * Checks the claims that every kind of token has, of a token whose signature holds: each present, of its exact type, for
 * this audience alone, and within its time. Returns the end of that. Headers and issuer have been judged before,
 * see pinned.ts.
 */
export function readClaims(
  claims: Record<string, unknown>,
  rules: ClaimRules,
  nowMs: number,
): number {
  const { kind, audience, clockToleranceMs } = rules
  // A list of audiences is refused too: our issuers name exactly one.
  if (claims['aud'] !== audience) throw refused('another audience')

  const iatMs = instantMs(claims['iat'], 'iat')
  const expMs = instantMs(claims['exp'], 'exp')
  if (expMs <= iatMs) throw refused('it ends before it begins')
  if (expMs - iatMs > kind.lifetimeMs) throw refused('it lives longer than this kind may')
  if (iatMs > nowMs + clockToleranceMs) throw refused('issued in the future')
  if (claims['nbf'] !== undefined && instantMs(claims['nbf'], 'nbf') > nowMs + clockToleranceMs) {
    throw refused('not valid yet')
  }
  if (nowMs >= expMs + (kind.graceAfterEndMs ?? clockToleranceMs)) {
    throw refused('expired', 'The access token has expired; log in again.')
  }

  const { jti } = claims
  if (typeof jti !== 'string' || !tokenIdForm.test(jti))
    throw refused('jti is missing or malformed')
  return expMs
}

/** The person that a token speaks for. */
export function personOf(claims: Record<string, unknown>, { tokenIdClaim }: TokenKind): Principal {
  const { sub, roles, sid, fam } = claims
  if (!isId(sub, 'usr')) throw refused('sub is missing or malformed')
  const tokenId = claims[tokenIdClaim]
  if (typeof tokenId !== 'string' || !tokenIdForm.test(tokenId)) {
    throw refused(`${tokenIdClaim} is missing or malformed`)
  }
  if (!isRoleList(roles)) throw refused('roles are missing or malformed')
  const person = { userId: sub, roles: Object.freeze(roles), tokenId }
  if (sid === undefined && fam === undefined) return person
  if (!isId(sid, 'ses')) throw refused('sid is malformed')
  if (!isId(fam, 'fam')) throw refused('fam is missing or malformed')
  return { ...person, sessionId: sid, familyId: fam }
}

/** The person who holds an access token; it must say of which session and family it is. */
export function holderOf(claims: Record<string, unknown>, kind: TokenKind): AccessPrincipal {
  const { sessionId, familyId, ...person } = personOf(claims, kind)
  if (sessionId === undefined || familyId === undefined) throw refused('sid is missing')
  return { ...person, sessionId, familyId, issuedAtMs: Number(claims['iat']) * 1000 }
}

/** Reads the tokens of one service, which speak for that service alone. */
export function serviceOf(service: string) {
  return ({ sub }: Record<string, unknown>): ServicePrincipal => {
    if (sub !== service) throw refused('sub is missing, or another service')
    return { service, roles: noRoles }
  }
}

const noRoles: readonly string[] = Object.freeze([])

function instantMs(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value <= 0) {
    throw refused(`${name} is missing or no whole number of seconds`)
  }
  return value * 1000
}

function isId<P extends 'usr' | 'ses' | 'fam'>(value: unknown, prefix: P): value is Id<P> {
  return typeof value === 'string' && idForm.exec(value)?.[1] === prefix
}

function isRoleList(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.length <= 16 &&
    value.every((role) => typeof role === 'string' && roleForm.test(role))
  )
}
