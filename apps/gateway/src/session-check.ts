import { AppError, sessionRoutes } from '@wattle/contracts'
import { recentMap, type AccessPrincipal, type Verdict } from '@wattle/identity'
import { createClient, type CallContext } from '@wattle/service'

export type SessionCheck = {
  /** What the user service says of the session of this token; `unknown` when it cannot say in time. */
  check(principal: AccessPrincipal, context: CallContext): Promise<Verdict>
  close(): Promise<void>
}

const probeEveryMs = 1_000

/**
 * Asks the user service, which has the database, while the view of revocations cannot tell. An answer is kept for
 * `keptMs` per token, many who ask for one token share a call, and no more than `maxConcurrent` are under way: an outage
 * of Redis must not become one of the user service. Past that bound, and past `timeoutMs`, it is not known.
 */
export function sessionCheck(options: {
  readonly url: string
  /** The internal token of this person for the user service. */
  readonly tokenFor: (principal: AccessPrincipal) => string
  readonly keptMs?: number
  readonly timeoutMs?: number
  readonly maxConcurrent?: number
  readonly now?: () => number
}): SessionCheck {
  const { url, tokenFor, keptMs = 2_000, timeoutMs = 800, maxConcurrent = 32 } = options
  const { now = Date.now } = options
  const { getCurrentSession } = sessionRoutes
  const user = createClient({ getCurrentSession }, { baseUrl: url, service: 'user', maxConcurrent })
  const answers = recentMap<{ readonly atMs: number; readonly verdict: Promise<Verdict> }>(10_000)
  // After a call that failed nobody waits: one probe a second finds out when it answers again.
  let probeAtMs: number | undefined

  async function ask(principal: AccessPrincipal, context: CallContext): Promise<Verdict> {
    try {
      await user.getCurrentSession({}, { context, token: tokenFor(principal), timeoutMs })
      probeAtMs = undefined
      return 'valid'
    } catch (error) {
      const isAnswer = error instanceof AppError && error.code === 'UNAUTHENTICATED'
      probeAtMs = isAnswer ? undefined : now() + probeEveryMs
      return isAnswer ? 'revoked' : 'unknown'
    }
  }

  return {
    check(principal, context) {
      const known = answers.get(principal.tokenId)
      if (known !== undefined && now() - known.atMs < keptMs) return known.verdict
      if (probeAtMs !== undefined) {
        if (now() < probeAtMs) return Promise.resolve('unknown')
        probeAtMs = now() + probeEveryMs
      }
      const verdict = ask(principal, context)
      answers.set(principal.tokenId, { atMs: now(), verdict })
      return verdict
    },
    close: () => user.close(),
  }
}
