import { randomFillSync, randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** Where a request stands in a distributed trace (W3C Trace Context). */
export type Trace = {
  readonly traceId: string
  /** The span of this service. */
  readonly spanId: string
  /** The span of the caller; absent where the trace begins here. */
  readonly parentSpanId?: string
  readonly flags: string
  /** Vendors' part, passed on as it came. */
  readonly state?: string
}

const requestIdForm = /^[A-Za-z0-9][A-Za-z0-9._:-]{7,63}$/
const traceparentForm = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const traceStateForm = /^[\x20-\x7e]{1,512}$/

/** 24 random bytes in hexadecimal, from a pool: asking the system for each request costs several times as much. */
const pool = Buffer.alloc(24 * 170)
let poolOffset = pool.length

function randomHex(): string {
  if (poolOffset === pool.length) {
    randomFillSync(pool)
    poolOffset = 0
  }
  return pool.toString('hex', poolOffset, (poolOffset += 24))
}

/** `req_` and a random UUID; not newId, whose UUIDv7 costs ten times as much and whose order no one needs here. */
export function newRequestId(): string {
  return `req_${randomUUID()}`
}

/** The caller's request id where it is harmless (8 to 64 of `A-Za-z0-9._:-`), else a new one. */
export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && requestIdForm.test(given) ? given : newRequestId()
}

/** Continues the caller's trace, or begins one where `traceparent` is absent or malformed. */
export function traceOf(request: Pick<IncomingMessage, 'headers'>): Trace {
  const { traceparent, tracestate } = request.headers
  const match = typeof traceparent === 'string' ? traceparentForm.exec(traceparent) : null
  const [, version, traceId = '', parentSpanId = '', flags = '01', more] = match ?? []
  const isValid =
    match !== null &&
    version !== 'ff' &&
    !(version === '00' && more !== undefined) &&
    !/^0+$/.test(traceId) &&
    !/^0+$/.test(parentSpanId)
  const random = randomHex()
  const spanId = random.slice(0, 16)
  if (!isValid) return { traceId: random.slice(16), spanId, flags: '01' }
  const keepsState = typeof tracestate === 'string' && traceStateForm.test(tracestate)
  return { traceId, spanId, parentSpanId, flags, ...(keepsState ? { state: tracestate } : {}) }
}

/** The headers that carry a trace to the next service. */
export function traceHeaders(trace: Trace): Record<string, string> {
  const traceparent = `00-${trace.traceId}-${trace.spanId}-${trace.flags}`
  return trace.state === undefined ? { traceparent } : { traceparent, tracestate: trace.state }
}
