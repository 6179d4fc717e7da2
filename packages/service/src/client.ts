import { Agent, errors, type Dispatcher } from 'undici'
import { AppError, type RouteContract, type RouteInput, type RouteReply } from '@wattle/contracts'
import { readReply, wrongReply, type RawReply } from './client-reply.ts'
import { callHeaders, pathOf, type CallContext, type LooseInput } from './client-request.ts'
import { boundOf, type Bound } from './client-bound.ts'
import { codeOf, verdictOfError, verdictOfStatus } from './client-verdict.ts'
import { createCircuits, type Attempt, type Circuits } from './circuits.ts'

export type CallOptions = {
  /** The request in whose course the call is made: its id, trace and remaining time are passed on. */
  readonly context?: CallContext
  /** Sent as `Authorization: Bearer …`. */
  readonly token?: string
  /** Sent as `Idempotency-Key`. */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
  /** A bound below that of the contract and the context. */
  readonly timeoutMs?: number
}

type Routes = Readonly<Record<string, RouteContract>>

type CallArguments<R extends RouteContract> =
  object extends RouteInput<R>
    ? [input?: RouteInput<R>, options?: CallOptions]
    : [input: RouteInput<R>, options?: CallOptions]

/** One function for each route of the contracts. */
export type Client<T extends Routes> = {
  readonly [Name in keyof T]: (...call: CallArguments<T[Name]>) => Promise<RouteReply<T[Name]>>
} & { close(): Promise<void> }

export type ClientOptions = {
  /** Where the service is: `http://127.0.0.1:3003`. */
  readonly baseUrl: string
  /** The name of the called service, for messages. */
  readonly service: string
  /** Connections kept to it at most; 32. */
  readonly maxConnections?: number
  /** Calls under way at most; more are refused at once with UNAVAILABLE, so that one slow service does not pile up all memory. */
  readonly maxConcurrent?: number
  readonly maxReplyBytes?: number
  /** Those of the process; without them the client has a circuit of its own, in no metrics. */
  readonly circuits?: Circuits
  readonly random?: () => number
}

const maxRetries = 2
const retryBaseMs = 50
/** With less time left an attempt cannot succeed and only costs. */
const minAttemptMs = 2

const connectionFailures = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
])

/**
 * A typed HTTP client for the routes of one service, over kept-alive connections. A call never waits longer than what
 * is left of its context's deadline, and tells the service what is left. GET alone is repeated, at most twice, with full
 * jitter, after a failed connection, 502, or 503 without Retry-After.
 *
 * Each request passes the circuit to the service (circuit.ts): once time-outs, failed connections, 502, 503 and 504 have
 * opened it, calls are refused at once. What was refused was certainly not sent.
 *
 * Rejects with AppError: what the service answered by its code; UNAVAILABLE when it cannot be reached, or is not tried;
 * BAD_GATEWAY when it answered wrongly; DEADLINE_EXCEEDED.
 */
export function createClient<const T extends Routes>(routes: T, options: ClientOptions): Client<T> {
  const {
    service,
    maxConcurrent = 256,
    maxReplyBytes = 1024 * 1024,
    circuits = createCircuits(),
    random = Math.random,
  } = options
  const base = new URL(options.baseUrl)
  const basePath = base.pathname.replace(/\/$/, '')
  const agent = new Agent({
    connections: options.maxConnections ?? 32,
    pipelining: 1,
    keepAliveTimeout: 10_000,
    connect: { timeout: 2_000 },
    maxResponseSize: maxReplyBytes,
    // The deadline bounds both.
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  const circuit = circuits.to(service, base)
  let underWay = 0

  async function call(
    contract: RouteContract,
    input: LooseInput = {},
    callOptions: CallOptions = {},
  ) {
    if (underWay >= maxConcurrent) {
      circuit.rejected()
      throw new AppError('UNAVAILABLE', `The ${service} service is busy; try again shortly.`, {
        cause: new Error(`${underWay} calls to ${service} are under way`),
        retryAfterSeconds: 1,
      })
    }
    const bound = boundOf(service, contract, callOptions)
    underWay++
    try {
      return await callWithRetries(contract, input, callOptions, bound)
    } finally {
      underWay--
      bound.release()
    }
  }

  async function callWithRetries(
    contract: RouteContract,
    input: LooseInput,
    { context, token, idempotencyKey }: CallOptions,
    bound: Bound,
  ): Promise<unknown> {
    const path = `${basePath}${pathOf(contract, input)}`
    const body = input.body === undefined ? null : JSON.stringify(input.body)
    let lastError: unknown
    for (let retries = 0; ; retries++) {
      const remainingMs = bound.remainingMs()
      if (remainingMs < minAttemptMs) throw bound.error(undefined)
      const request = {
        origin: base.origin,
        path,
        method: contract.method,
        headers: {
          accept: 'application/json',
          ...(body === null ? {} : { 'content-type': 'application/json' }),
          ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
          ...callHeaders({ context, token, remainingMs }),
        },
        body,
        signal: bound.signal,
      }
      const attempt = circuit.enter(contract)
      if (attempt === undefined) throw lastError ?? circuit.refusal()
      const outcome = await callOnce(contract, request, attempt, bound)
      if (!('error' in outcome)) return outcome.value
      lastError = outcome.error
      if (bound.signal.aborted) throw bound.error(outcome.error)
      const waitMs = random() * retryBaseMs * 2 ** (retries + 1)
      const mayRetry = contract.method === 'GET' && retries < maxRetries && outcome.isPassing
      if (!mayRetry || waitMs + minAttemptMs >= bound.remainingMs()) throw outcome.error
      await bound.wait(waitMs)
    }
  }

  async function callOnce(
    contract: RouteContract,
    request: Dispatcher.RequestOptions,
    attempt: Attempt,
    bound: Bound,
  ): Promise<Outcome> {
    let reply: RawReply
    try {
      const { statusCode, headers, body } = await agent.request(request)
      reply = {
        status: statusCode,
        contentType: String(headers['content-type'] ?? ''),
        retryAfter: headers['retry-after']?.toString(),
        text: await body.text(),
      }
    } catch (cause) {
      const code = codeOf(cause)
      attempt.end(verdictOfError(cause, bound), cause)
      return {
        error: failureOf(service, contract, code, cause),
        isPassing: connectionFailures.has(code),
      }
    }
    const { status, retryAfter } = reply
    try {
      const value = readReply(service, contract, reply)
      attempt.end('answered')
      return { value }
    } catch (error) {
      attempt.end(verdictOfStatus(status), error)
      // Who says when to come back does not want to be asked before.
      return { error, isPassing: (status === 502 || status === 503) && retryAfter === undefined }
    }
  }

  const calls = Object.entries(routes).map(([name, contract]) => [
    name,
    (input?: LooseInput, callOptions?: CallOptions) => call(contract, input, callOptions),
  ])
  return { ...Object.fromEntries(calls), close: () => agent.close() } as Client<T>
}

/** What one attempt came to; `isPassing` where another, moments later and perhaps by another process, may do better. */
type Outcome =
  | { readonly value: unknown }
  | { readonly error: unknown; readonly isPassing: boolean }

function failureOf(
  service: string,
  contract: RouteContract,
  code: string,
  cause: unknown,
): AppError {
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    return wrongReply(service, contract, 'the reply is too large')
  }
  if (cause instanceof errors.HTTPParserError) return wrongReply(service, contract, 'no HTTP')
  return new AppError('UNAVAILABLE', `The ${service} service cannot be reached at the moment.`, {
    cause,
  })
}
