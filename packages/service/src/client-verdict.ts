import type { Verdict } from './circuits.ts'

/** Timers may fire this much early. */
const slackMs = 2

/** Codes of undici for what was wrong with the request or with this side, before anything was sent. */
const ownFaults = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
])

/**
 * What a request that ended in an error of undici says of the service. An abort is a time-out where the time is over,
 * and else its caller's own.
 */
export function verdictOfError(
  error: unknown,
  deadline: { readonly signal: { readonly aborted: boolean }; remainingMs(): number },
): Verdict {
  if (deadline.signal.aborted) return deadline.remainingMs() <= slackMs ? 'timed_out' : 'abandoned'
  const code = codeOf(error)
  if (code === '' || ownFaults.has(code)) return 'abandoned'
  return code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE' ? 'answered' : 'failed'
}

/** What a reply with this status says of the service: the three by which a service, or what stands before it, says that nobody is there. */
export function verdictOfStatus(status: number): Verdict {
  if (status === 504) return 'timed_out'
  return status === 502 || status === 503 ? 'failed' : 'answered'
}

/** The code of an error of Node or undici; empty where it has none. */
export function codeOf(error: unknown): string {
  const { code } = (typeof error === 'object' && error !== null ? error : {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}
