import type { IncomingHttpHeaders } from 'node:http'

type Headers = Record<string, string | string[]>

/**
 * The only headers of a client that a service gets to see. Everything else stays here: tokens, cookies, hop-by-hop
 * headers, and whatever pretends to come from inside (`x-forwarded-*`, `x-wattle-*`, `x-internal-*`).
 */
const passedOn = [
  'accept',
  'accept-language',
  'cache-control',
  'content-type',
  'idempotency-key',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'user-agent',
  // The signature of a processor's callback.
  'webhook-id',
  'webhook-signature',
  'webhook-timestamp',
] as const

/** What the client may say to a service. */
export function clientHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const result: Record<string, string> = {}
  for (const name of passedOn) {
    const value = headers[name]
    if (typeof value === 'string') result[name] = value
  }
  return result
}

/** Headers of a service's reply that end here (RFC 9110, section 7.6.1), or that the gateway says itself. */
const keptBack = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
])
const internal = /^(x-wattle-|x-internal-|x-forwarded-|access-control-)/

/** What the client gets to see of a service's reply. */
export function replyHeaders(headers: Readonly<Record<string, string | string[] | undefined>>) {
  const named = new Set(
    [headers['connection'] ?? []]
      .flat()
      .flatMap((line) => line.split(','))
      .map((name) => name.trim().toLowerCase()),
  )
  const result: Headers = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || keptBack.has(name) || named.has(name) || internal.test(name))
      continue
    result[name] = value
  }
  return result
}
