/**
 * One thing that is no longer good: an access token, a session, a family of refresh tokens (by its id, whose prefix says
 * which), or what a user was issued before a moment.
 */
export type Revocation = {
  /** `tok_…`, `ses_…`, `fam_…` or `usr_…`. */
  readonly id: string
  /** From then on nothing is left that it could hit: the last access token that it concerns has expired. */
  readonly untilMs: number
  /** Of a user: access tokens issued before this second are revoked, later ones are good. */
  readonly issuedBeforeMs?: number
}

/** What a token is known by, and by each of which it can have been revoked. */
export type TokenIdentity = {
  readonly tokenId: string
  readonly sessionId: string
  readonly familyId: string
  readonly userId: string
  readonly issuedAtMs: number
}

const form = /^((?:tok|ses|fam|usr)_[A-Za-z0-9_-]{1,64}) (\d{1,15})(?: (\d{1,15}))?$/

/** `ses_0190… 1764100000000`, and for a user the moment before which tokens were issued. */
export function writeRevocation({ id, untilMs, issuedBeforeMs }: Revocation): string {
  return issuedBeforeMs === undefined ? `${id} ${untilMs}` : `${id} ${untilMs} ${issuedBeforeMs}`
}

/** Undefined for what is none. */
export function readRevocation(text: string): Revocation | undefined {
  const [, id, untilMs, issuedBeforeMs] = form.exec(text) ?? []
  if (id === undefined || untilMs === undefined) return undefined
  if (id.startsWith('usr_') !== (issuedBeforeMs !== undefined)) return undefined
  return {
    id,
    untilMs: Number(untilMs),
    ...(issuedBeforeMs === undefined ? {} : { issuedBeforeMs: Number(issuedBeforeMs) }),
  }
}
