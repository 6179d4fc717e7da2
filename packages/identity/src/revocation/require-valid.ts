import { AppError } from '@wattle/contracts'
import { refused } from '../claims.ts'
import type { RevocationView } from './view.ts'
import type { TokenIdentity } from './revocation.ts'

/**
 * Throws UNAUTHENTICATED for a token that was revoked, and where that is not known, UNAVAILABLE if the route fails
 * closed. What is known to be revoked is refused either way.
 */
export function requireValid(
  view: Pick<RevocationView, 'check'>,
  token: TokenIdentity,
  whenUnknown: 'closed' | 'open' = 'open',
): void {
  const verdict = view.check(token)
  if (verdict === 'valid') return
  if (verdict === 'revoked') throw refused('revoked', 'This session has ended; log in again.')
  if (whenUnknown === 'open') return
  throw new AppError(
    'UNAVAILABLE',
    'It cannot be told at the moment whether you are still logged in.',
    {
      cause: new Error('revocations are not known, and this route fails closed'),
      retryAfterSeconds: 1,
    },
  )
}
