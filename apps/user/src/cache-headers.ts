import type { ReadOutcome } from '@wattle/cache'
import type { FastifyReply } from 'fastify'

/** What tells a client where a reply came from: `Cache-Status` (RFC 9211), `Age`, and the `X-Cache-*` headers. */
function cacheHeaders(
  service: string,
  { status, key, ageMs, ttlMs }: Omit<ReadOutcome<unknown>, 'value'>,
  elapsedMs: number,
): Record<string, string> {
  const ttl = Math.ceil(ttlMs / 1000)
  const stored = status === 'miss' && ttlMs > 0 ? '; stored' : ''
  const cacheStatus =
    status === 'hit' ? `${service}; hit; ttl=${ttl}` : `${service}; fwd=${status}${stored}`
  return {
    'cache-status': cacheStatus,
    age: String(Math.floor(ageMs / 1000)),
    'x-cache-status': status.toUpperCase(),
    'x-cache-key': key,
    'x-cache-ttl': String(ttl),
    'x-cache-response-time': `${elapsedMs.toFixed(1)}ms`,
  }
}

/** The value of a cached read; its headers go onto the reply. */
export async function replyFromCache<V>(
  reply: FastifyReply,
  reading: Promise<ReadOutcome<V>>,
): Promise<V> {
  const startedMs = performance.now()
  const outcome = await reading
  const { name } = reply.server.service
  reply.headers(cacheHeaders(name, outcome, performance.now() - startedMs))
  return outcome.value
}
