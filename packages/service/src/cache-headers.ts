import type { FastifyReply } from 'fastify'

/** How a cached answer came about. */
export type CacheOutcome = {
  readonly status: 'hit' | 'miss' | 'stale' | 'bypass'
  readonly key: string
  /** How long the entry stays fresh; negative where it is stale. */
  readonly ttlMs?: number
  /** How long ago the entry was written. */
  readonly ageMs?: number
}

/**
 * Tells the caller how the cache took part: `Cache-Status` (RFC 9211) with the service as the cache's name, `Age`, and
 * `X-Cache-Status`, `X-Cache-Key`, `X-Cache-TTL` (seconds), `X-Cache-Response-Time` (from the arrival of the request
 * to this call, in milliseconds). Call it when the answer is ready.
 */
export function setCacheHeaders(reply: FastifyReply, outcome: CacheOutcome): void {
  const { status, key, ttlMs, ageMs } = outcome
  const printableKey = key.replaceAll(/[^\x20-\x7e]/g, '?')
  const ttl = ttlMs === undefined ? undefined : Math.trunc(ttlMs / 1_000)
  reply.header('cache-status', cacheStatus(reply.server.service.name, outcome, ttl, printableKey))
  reply.header('x-cache-status', status.toUpperCase())
  reply.header('x-cache-key', printableKey)
  if (ttl !== undefined) reply.header('x-cache-ttl', ttl)
  if (ageMs !== undefined && (status === 'hit' || status === 'stale')) {
    reply.header('age', Math.max(0, Math.trunc(ageMs / 1_000)))
  }
  reply.header('x-cache-response-time', `${reply.elapsedTime.toFixed(1)}ms`)
}

function cacheStatus(
  service: string,
  { status }: CacheOutcome,
  ttl: number | undefined,
  key: string,
): string {
  const parts = [`wattle-${service}`]
  if (status === 'hit' || status === 'stale') parts.push('hit')
  else parts.push(`fwd=${status}`)
  if (status === 'miss' && ttl !== undefined && ttl > 0) parts.push('stored')
  if (ttl !== undefined && status !== 'bypass') parts.push(`ttl=${ttl}`)
  parts.push(`key="${key.replaceAll(/["\\]/g, '\\$&')}"`)
  return parts.join('; ')
}
