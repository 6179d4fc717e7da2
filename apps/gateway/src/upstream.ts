import type { RouteContract } from '@wattle/contracts'
import { callHeaders, verdictOfError, type ServiceCircuit, type Verdict } from '@wattle/service'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Agent, type Dispatcher } from 'undici'
import { failure, misfit, unavailable, wasReset, wrongReply } from './faults.ts'
import { clientHeaders, replyHeaders } from './headers.ts'

export type UpstreamOptions = {
  /** Its name, which is the audience of its tokens. */
  readonly service: string
  readonly url: string
  /** The internal token for this request; undefined where nobody is signed in. */
  readonly tokenFor: (request: FastifyRequest) => string | undefined
  readonly circuit: ServiceCircuit
  /** Connections kept to it at most. */
  readonly maxConnections?: number
  /** Requests under way or waiting for a connection at most; more are refused at once. */
  readonly maxConcurrent?: number
  readonly now?: () => number
  /** The address of the client, which services are told; the peer's where it is not given. */
  readonly addressOf?: (request: FastifyRequest) => string
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

/**
 * An internal token has three seconds at least when it is sent. A service that was too busy, or frozen, to read it within
 * these refuses it: that is no reason for a person to log in again.
 */
const isStale = (tookMs: number) => tookMs > 2_500

/** For a service that does not say how long it keeps an idle connection; ours do. */
const keepAliveTimeoutMs = 4_000

/**
 * One service behind the gateway, over kept-alive connections. A request is sent at its deadline's pace: when the
 * time has passed or the client has gone, it is taken back, also from the queue. Bodies of requests have been read
 * before (they are small), so that a slow client holds a connection of the gateway and never one of a service; bodies of
 * replies are streamed.
 *
 * Each request passes the circuit. An answer is an answer here, also a 503: a service whose database is away says so in
 * a problem document, and still serves what it has cached. Only silence, lost connections, and a 502, 503 or 504 that
 * no process of ours wrote, open it.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { service, tokenFor, circuit, maxConnections = 64, maxConcurrent = 512 } = options
  const { now = Date.now, addressOf = (request) => request.ip } = options
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
    return agent.request({
      origin: base.origin,
      path: `${basePath}${pathOf(contract, request)}`,
      method,
      headers: {
        ...clientHeaders(request.headers),
        ...callHeaders({ context: request, token: tokenFor(request) }),
        'x-forwarded-for': addressOf(request),
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
      if (isSafe && wasReset(error)) return send(contract, request)
      throw error
    }
  }

  async function forward(contract: RouteContract, request: FastifyRequest, reply: FastifyReply) {
    if (underWay >= maxConcurrent) {
      circuit.rejected()
      throw unavailable(service, new Error(`${underWay} under way`))
    }
    // Whoever has gone closes no connection any more.
    request.deadline.signal.throwIfAborted()
    const sentAtMs = now()
    const attempt = circuit.enter(contract)
    if (attempt === undefined) throw circuit.refusal()
    underWay++
    reply.raw.once('close', () => underWay--)
    let received: Reply
    try {
      received = await sendSafely(contract, request)
    } catch (error) {
      attempt.end(verdictOfError(error, request.deadline), error)
      if (request.deadline.signal.aborted) throw error
      throw failure(service, error)
    }
    const { statusCode, headers, body } = received
    if (statusCode === 401 && contract.auth !== 'public' && isStale(now() - sentAtMs)) {
      attempt.end('answered')
      body.on('error', () => undefined).destroy()
      throw unavailable(service, new Error('the internal token ended before the service read it'))
    }
    const fault = misfit(contract, statusCode, String(headers['content-type'] ?? ''))
    attempt.end(fault === undefined ? 'answered' : verdictOfMisfit(statusCode), fault)
    if (fault !== undefined) {
      body.on('error', () => undefined).destroy()
      throw wrongReply(service, new Error(`${service}.${contract.name}: ${fault}`))
    }
    const vary = [reply.getHeader('vary') ?? [], headers['vary'] ?? []].flat().join(', ')
    reply.code(statusCode).headers(replyHeaders(headers))
    if (vary !== '') reply.header('vary', vary)
    return reply.send(body)
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

/** What a proxy before the service says of it. */
function verdictOfMisfit(status: number): Verdict {
  return status >= 502 && status <= 504 ? 'failed' : 'answered'
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
