import { refused } from './claims.ts'
import type { Verifier } from './verifier.ts'

/** Tells who makes a request, or throws AppError('UNAUTHENTICATED'). */
export type Authenticate<P> = (request: {
  readonly headers: { readonly authorization?: string | undefined }
}) => Promise<P>

const bearer = /^Bearer +([A-Za-z0-9._-]+) *$/i

/** Reads `Authorization: Bearer <token>` and verifies it. */
export function bearerAuthentication<P>(verifier: Verifier<P>): Authenticate<P> {
  return async ({ headers }) => {
    const { authorization } = headers
    if (authorization === undefined) {
      throw refused('no token', 'Send your access token as "Authorization: Bearer <token>".')
    }
    const token = bearer.exec(authorization)?.[1]
    if (token === undefined) {
      throw refused('no bearer token', 'The Authorization header must be "Bearer <token>".')
    }
    return verifier.verify(token)
  }
}
