import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Id } from '@wattle/contracts'

/** SHA-256 of a token: what is stored. The token itself has 256 random bits, so no salt is needed. */
export type TokenHash = Buffer

/** Length in bytes of the tokens here. */
const tokenBytes = 32
const tokenForm = /^[A-Za-z0-9_-]{43}$/

/** A fresh opaque token of 256 bits, as 43 characters. */
export function newOpaqueToken(random: (bytes: number) => Buffer = randomBytes): string {
  return random(tokenBytes).toString('base64url')
}

/** What is stored of a token; undefined for what cannot be one. */
export function hashOpaqueToken(token: string): TokenHash | undefined {
  // The last character carries two bits that say nothing: only one spelling is taken.
  if (!tokenForm.test(token) || token !== Buffer.from(token, 'base64url').toString('base64url')) {
    return undefined
  }
  return createHash('sha256').update(token).digest()
}

export type RefreshTokens = ReturnType<typeof refreshTokens>

/**
 * The successor of a refresh token is derived from it, not drawn: HMAC-SHA-256 of the parent's hash and the family under
 * a key that is in no database. So the same parent has the same successor, which can be handed out again to whoever sent
 * the parent twice, although only hashes are stored; and who reads the database can derive none. `keys` may hold several:
 * the first derives, all are tried when a successor is derived again, so keys rotate.
 */
export function refreshTokens({ keys }: { keys: readonly [Buffer, ...Buffer[]] }) {
  const derive = (key: Buffer, parent: TokenHash, familyId: Id<'fam'>) =>
    createHmac('sha256', key).update(parent).update(familyId).digest('base64url')

  return {
    /** The successor of the token with this hash, in this family. */
    successor: (parent: TokenHash, familyId: Id<'fam'>) => derive(keys[0], parent, familyId),
    /** The successor that is stored as `child`; undefined when no key gives it. */
    successorStoredAs(
      parent: TokenHash,
      familyId: Id<'fam'>,
      child: TokenHash,
    ): string | undefined {
      return keys
        .map((key) => derive(key, parent, familyId))
        .find((token) => {
          const hash = hashOpaqueToken(token)
          return hash !== undefined && timingSafeEqual(hash, child)
        })
    },
  }
}

const secretForm = /^[A-Za-z0-9+/_-]{43,}={0,2}$/

/**
 * Reads secrets, separated by commas: each 32 bytes or more in base64. Throws an Error with one sentence that holds
 * none of them.
 */
export function readSecrets(text: string): readonly [Buffer, ...Buffer[]] {
  const [first, ...others] = text.split(',').map((part) => {
    if (!secretForm.test(part.trim())) {
      throw new Error(
        'holds no secret of 32 bytes in base64; create one with "openssl rand -base64 32"',
      )
    }
    return Buffer.from(part.trim(), 'base64')
  })
  if (first === undefined) throw new Error('is empty')
  return [first, ...others]
}

/** A key for one purpose from each secret (HKDF-SHA-256), so that one secret serves several without mixing them. */
export function keysFor(
  purpose: string,
  secrets: readonly [Buffer, ...Buffer[]],
): readonly [Buffer, ...Buffer[]] {
  const [first, ...others] = secrets.map((secret) =>
    Buffer.from(hkdfSync('sha256', secret, 'wattle', purpose, 32)),
  )
  if (first === undefined) throw new Error('there is no secret')
  return [first, ...others]
}
