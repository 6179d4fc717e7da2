import { AppError, type RouteContract } from '@wattle/contracts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Agent, type Dispatcher } from 'undici'
import { clientHeaders, replyHeaders } from './headers.ts'

export type UpstreamOptions = {
  /** Its name, which is the audience of its tokens. */
  readonly service: string
  readonly url: string
  /** The internal token for this request; undefined where nobody is signed in. */
  readonly tokenFor: (request: FastifyRequest) => string | undefined
  /** Connections kept to it at most. */
  readonly maxConnections?: number
  /** Requests under way or waiting for a connection at most; more are refused at once. */
  readonly maxConcurrent?: number
}

export type Upstream = {
  /** Hands the request on and its reply back; throws AppError where there is none that fits the contract. */
  forward(
    contract: RouteContract,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply>
  /** Rejects when nothing answers at its address. */
  check(signal: AbortSignal): Promise<unknown>
  close(): Promise<void>
}

type Reply = Dispatcher.ResponseData

/** For a service that does not say how long it keeps an idle connection; ours do. */
const keepAliveTimeoutMs = 4_000
/** How much earlier than the gateway a service should give up, so that its own answer still arrives. */
const marginMs = 20

/**
 * One service behind the gateway, over kept-alive connections. A request is sent at its deadline's pace: when the
 * time has passed or the client has gone, it is taken back, also from the queue. Bodies of requests have been read
 * before (they are small), so that a slow client holds a connection of the gateway and never one of a service; bodies of
 * replies are streamed.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { service, tokenFor, maxConnections = 64, maxConcurrent = 512 } = options
  const base = new URL(options.url)
  const basePath = base.pathname.replace(/\/$/, '')
  const agent = new Agent({
    connections: maxConnections,
    pipelining: 1,
    keepAliveTimeout: keepAliveTimeoutMs,
    connect: { timeout: 2_000 },
    // The deadline bounds both.
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  let underWay = 0

  async function send(contract: RouteContract, request: FastifyRequest): Promise<Reply> {
    const { method, deadline, body } = request
    const token = tokenFor(request)
    const budgetMs = Math.floor(deadline.remainingMs()) - marginMs
    const { traceId, spanId, flags, state } = request.trace
    return agent.request({
      origin: base.origin,
      path: `${basePath}${pathOf(contract, request)}`,
      method,
      headers: {
        ...clientHeaders(request.headers),
        'x-forwarded-for': request.ip,
        'x-request-id': request.id,
        'x-deadline-ms': String(Math.max(1, budgetMs)),
        traceparent: `00-${traceId}-${spanId}-${flags}`,
        ...(state === undefined ? {} : { tracestate: state }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: Buffer.isBuffer(body) ? body : null,
      signal: deadline.signal,
    })
  }

  /** Sends it again, once, when a kept-alive connection turned out to be dead before anything was answered. */
  async function sendSafely(contract: RouteContract, request: FastifyRequest): Promise<Reply> {
    try {
      return await send(contract, request)
    } catch (error) {
      const isSafe = request.method === 'GET' || request.method === 'HEAD'
      if (!isSafe || !wasReset.has(codeOf(error)) || request.deadline.remainingMs() < 100)
        throw error
      return send(contract, request)
    }
  }

  async function forward(contract: RouteContract, request: FastifyRequest, reply: FastifyReply) {
    if (underWay >= maxConcurrent) throw unavailable(service, new Error(`${underWay} under way`))
    underWay++
    reply.raw.once('close', () => underWay--)
    let received: Reply
    try {
      received = await sendSafely(contract, request)
    } catch (error) {
      if (request.deadline.signal.aborted) throw error
      throw failure(service, error)
    }
    const { statusCode, headers, body } = received
    const fault = misfit(contract, statusCode, String(headers['content-type'] ?? ''))
    if (fault !== undefined) {
      body.on('error', () => undefined).destroy()
      throw wrongReply(service, new Error(`${service}.${contract.name}: ${fault}`))
    }
    return reply.code(statusCode).headers(replyHeaders(headers)).send(body)
  }

  return {
    forward,
    async check(signal) {
      const { statusCode, body } = await agent.request({
        origin: base.origin,
        path: `${basePath}/livez`,
        method: 'GET',
        signal,
      })
      await body.dump()
      if (statusCode !== 200) throw new Error(`${service} answered ${statusCode}`)
    },
    close: () => agent.destroy(),
  }
}

/**
 * The address in the service: the contract's path with the parameters that were matched and validated, each kept in
 * its segment, so that gateway and service cannot read one address in two ways; then the query as it came.
 */
function pathOf(contract: RouteContract, request: FastifyRequest): string {
  const params = request.params as Record<string, string>
  const path = contract.path.replaceAll(/:([A-Za-z0-9]+)/g, (_, name: string) =>
    encodeURIComponent(params[name] ?? ''),
  )
  const { url = '' } = request.raw
  const queryAt = url.indexOf('?')
  return queryAt === -1 ? path : path + url.slice(queryAt)
}

/** What is wrong with a reply that no process of this service gives: another program listens at its address. */
function misfit(contract: RouteContract, status: number, contentType: string): string | undefined {
  if (status === 304) return undefined
  if (status >= 400 && status <= 599) {
    if (contentType.startsWith('application/problem+json')) return undefined
    return `status ${status} without a problem document`
  }
  if (!(status in contract.replies)) return `status ${status} is not in the contract`
  if (status === 204 || contentType.startsWith('application/json')) return undefined
  return `a body of type "${contentType}"`
}

const wasReset = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])
const unreachable = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'UND_ERR_CONNECT_TIMEOUT',
])

function failure(service: string, error: unknown): AppError {
  const code = codeOf(error)
  if (code === 'UND_ERR_INVALID_ARG') {
    return new AppError(
      'BAD_REQUEST',
      'The address or a header holds a character that may not be there.',
      {
        cause: error,
      },
    )
  }
  return unreachable.has(code) ? unavailable(service, error) : wrongReply(service, error)
}

function unavailable(service: string, cause: unknown): AppError {
  return new AppError('UNAVAILABLE', `The ${service} service is not available at the moment.`, {
    cause,
    retryAfterSeconds: 1,
  })
}

function wrongReply(service: string, cause: unknown): AppError {
  return new AppError('BAD_GATEWAY', `The ${service} service answered wrongly.`, { cause })
}

/** The code of an error, or of the first of those it gathers (one for each address that was tried). */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  const { code } = (typeof error === 'object' && error !== null ? error : {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}
