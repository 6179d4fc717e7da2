import jwt from '@fastify/jwt'
import type { Id } from '@wattle/contracts'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { holderOf, type AccessPrincipal } from './claims.ts'
import { currentKeys, type KeyRing } from './key-ring.ts'
import { localKeys, type KeySource } from './key-source.ts'
import type { SigningKeys } from './keys.ts'
import { keyFetcher, pinnedSign, pinnedVerify } from './pinned.ts'
import { createSigner, type PersonSubject, type SignedToken } from './signer.ts'
import { accessTokenKind as kind } from './token-kind.ts'
import { createVerifier, type Verifier } from './verifier.ts'

/** Access tokens, 15 minutes each: what `accessTokens` puts at `app.accessTokens`. */
export type AccessTokens = Verifier<AccessPrincipal> & {
  /** Throws where the app has no signing keys. */
  issue(subject: AccessSubject): SignedToken
  readonly lifetimeSeconds: number
}

export type AccessSubject = PersonSubject & {
  readonly sessionId: Id<'ses'>
  readonly familyId: Id<'fam'>
}

export type AccessTokensOptions = {
  readonly now?: () => number
} & (
  | { /** For the user service, which issues them. */ readonly signingKeys: SigningKeys | KeyRing }
  | { /** For the gateway, which verifies them. */ readonly keys: KeySource }
)

declare module 'fastify' {
  interface FastifyInstance {
    readonly accessTokens: AccessTokens
  }
}

/**
 * Registers @fastify/jwt for access tokens, with all pinned that it leaves open, and `app.accessTokens` over it: issues
 * by `app.jwt.sign`; verifies by `app.jwt.verify`, behind the memory of verified tokens and before the claims are read.
 * (`request.jwtVerify` knows nothing of these, and refuses: its key function is asked in another way.)
 */
export const accessTokens = fp(register, { name: '@wattle/access-tokens', fastify: '5.x' })

async function register(app: FastifyInstance, options: AccessTokensOptions): Promise<void> {
  const { now = Date.now } = options
  const ring = 'signingKeys' in options ? options.signingKeys : undefined
  const signingKeys = ring && currentKeys(ring)
  const keys =
    'keys' in options ? options.keys : localKeys(() => currentKeys(options.signingKeys).jwks)
  const { audience } = kind

  await app.register(jwt, {
    secret: {
      public: keyFetcher(keys),
      ...(signingKeys === undefined ? {} : { private: signingKeys.privatePem }),
    },
    ...(signingKeys === undefined ? {} : { sign: pinnedSign(kind, signingKeys) }),
    verify: pinnedVerify(kind, audience),
  })

  const sign =
    ring === undefined || signingKeys === undefined
      ? undefined
      : createSigner({
          keys: ring,
          kind,
          now,
          signBy: { keyId: signingKeys.keyId, sign: app.jwt.sign },
        })
  const { verify } = createVerifier({
    accepts: [
      {
        kind,
        keys,
        principalOf: holderOf,
        // A promise, because its key is a function.
        check: (token) => app.jwt.verify<Promise<Record<string, unknown>>>(token),
      },
    ],
    audience,
    now,
  })
  app.decorate('accessTokens', {
    verify,
    issue(subject) {
      if (sign === undefined) throw new Error('access tokens are only verified here')
      return sign(subject, audience)
    },
    lifetimeSeconds: kind.lifetimeMs / 1000,
  })
}
