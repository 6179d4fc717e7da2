import type { Tokens } from '@wattle/contracts'
import type { AccessTokens } from '@wattle/identity'
import type { Continued } from './begin.ts'
import type { SessionRules } from './rules.ts'

/** What a login and a refresh answer: a new access token, the next refresh token, and how long the family still lives. */
export function tokensOf(
  session: Continued,
  deps: {
    tokens: Pick<AccessTokens, 'issue' | 'lifetimeSeconds'>
    rules: SessionRules
    now: () => number
  },
): Tokens {
  const { tokens, rules, now } = deps
  const { sessionId, familyId, userId, roles, refreshToken, expiresAtMs } = session
  const { token } = tokens.issue({ userId, roles, sessionId, familyId })
  return {
    accessToken: token,
    tokenType: 'Bearer',
    expiresIn: tokens.lifetimeSeconds,
    refreshToken,
    sessionId,
    freshLoginAt: new Date(expiresAtMs).toISOString(),
    freshLoginSoon: expiresAtMs - now() < rules.freshLoginSoonMs,
  }
}
