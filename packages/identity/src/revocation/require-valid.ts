import { AppError } from '@wattle/contracts'
import { refused } from '../claims.ts'
import type { Verdict } from './view.ts'

/**
 * Throws UNAUTHENTICATED for a token that was revoked, and where that is not known, UNAVAILABLE if the route fails
 * closed. What is known to be revoked is refused either way.
 */
export function requireValid(verdict: Verdict, whenUnknown: 'closed' | 'open' = 'open'): void {
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
