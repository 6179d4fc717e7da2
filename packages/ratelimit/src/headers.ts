import type { Decision } from './limit.ts'

const seconds = (ms: number) => Math.ceil(ms / 1000)

/**
 * What a reply says of its limits: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers, as
 * structured fields) with every level, `X-RateLimit-*` with the one that tells most, times in seconds from now, and
 * `Retry-After` where the call was refused.
 */
export function limitHeaders(limit: string, decision: Decision): Record<string, string> {
  const { allowed, levels, remaining, resetMs, retryAfterMs } = decision
  if (levels.length === 0) return {}
  let policies = ''
  let states = ''
  for (const one of levels) {
    // Names are lower-case letters, digits, dashes and dots: nothing to escape.
    const name = one.level === limit ? limit : `${limit}-${one.level}`
    const separator = policies === '' ? '' : ', '
    policies += `${separator}"${name}";q=${one.limit};w=${seconds(one.windowMs)}`
    states += `${separator}"${name}";r=${one.remaining};t=${seconds(one.resetMs)}`
  }
  const headers: Record<string, string> = {
    ratelimit: states,
    'ratelimit-policy': policies,
    'x-ratelimit-limit': `${decision.limit}`,
    'x-ratelimit-remaining': `${remaining}`,
    'x-ratelimit-reset': `${seconds(resetMs)}`,
  }
  if (!allowed) headers['retry-after'] = `${Math.max(1, seconds(retryAfterMs))}`
  return headers
}
