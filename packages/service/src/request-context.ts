import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { RouteContract } from '@wattle/contracts'
import { Deadline, budgetOf, deadlineHeader, defaultDeadlineMs } from './deadline.ts'
import type { Principal } from './principal.ts'
import { traceOf, type Trace } from './trace.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Where the request stands in its trace. */
    trace: Trace
    /** The time that is left, as a number and as a signal. */
    deadline: Deadline
    /** Who makes the request, where the route asks. */
    principal: Principal | undefined
    /** What was thrown while it was answered; for the log line. */
    failure: unknown
  }
  interface FastifyContextConfig {
    contract?: RouteContract
    /** Time that a request of this route may take, in milliseconds. */
    deadlineMs?: number
    /** Logged at debug level only: probes and scrapes. */
    quiet?: boolean
  }
}

const tracesOfRaw = new WeakMap<object, Trace>()

/** Log fields that every line of a request carries. */
export function traceBindings(raw: FastifyRequest['raw']): { traceId: string; spanId: string } {
  const trace = traceOf(raw)
  tracesOfRaw.set(raw, trace)
  return { traceId: trace.traceId, spanId: trace.spanId }
}

/** Gives each request its trace and its deadline, and calls `onEnd` once when it has been answered or given up. */
export function trackRequests(
  app: FastifyInstance,
  onEnd: (request: FastifyRequest, reply: FastifyReply, status: number) => void,
): void {
  app.decorateRequest('trace')
  app.decorateRequest('deadline')
  app.decorateRequest('principal', undefined)
  app.decorateRequest('failure', undefined)

  app.addHook('onRequest', (request, reply, done) => {
    request.trace = tracesOfRaw.get(request.raw) ?? traceOf(request.raw)
    reply.header('x-request-id', request.id)
    reply.raw.on('close', () => {
      const isAnswered = reply.raw.writableFinished
      request.deadline.end(isAnswered ? undefined : new Error('the caller went away'))
      onEnd(request, reply, isAnswered ? reply.raw.statusCode : 499)
    })
    const routeDeadlineMs = request.routeOptions.config.deadlineMs ?? defaultDeadlineMs
    request.deadline = new Deadline(routeDeadlineMs)
    const budgetMs = budgetOf(request.headers[deadlineHeader], routeDeadlineMs)
    if (budgetMs !== routeDeadlineMs) request.deadline = new Deadline(budgetMs)
    request.deadline.start(reply)
    done()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    // The deadline has answered while hooks were still at work on this answer, which is dropped.
    if (reply.raw.headersSent) return
    request.deadline.answering(isStream(payload))
    done(null, payload)
  })
}

function isStream(payload: unknown): boolean {
  return typeof payload === 'object' && payload !== null && !Buffer.isBuffer(payload)
}
