import fastifySwagger from '@fastify/swagger'
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import type { BaseConfig } from './base-config.ts'
import { createHttpMetrics, createRegistry } from './http-metrics.ts'
import { parseJsonBodies } from './json-body.ts'
import { createLogger, type Logger } from './log.ts'
import { openApiOptions } from './openapi.ts'
import { addOperatingRoutes } from './operating-routes.ts'
import type { Authenticate } from './principal.ts'
import { sendProblem, toAppError } from './problem.ts'
import { addSecurityHeaders, boundRequests } from './protection.ts'
import type { ReadinessCheck } from './readiness.ts'
import { traceBindings, trackRequests } from './request-context.ts'
import { logRequest } from './request-line.ts'
import { requestIdOf } from './trace.ts'
import { answerUnknownAddresses } from './unknown-address.ts'
import { refuseExpectation, refuseUnreadable } from './unreadable-request.ts'
import { validatorCompiler } from './validation.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readonly service: ServiceContext
  }
}

/** What the kit keeps for an app; `app.service`. */
export type ServiceContext = {
  readonly name: string
  readonly version: string
  readonly config: BaseConfig
  readonly registry: Registry
  readonly authenticate: Authenticate | undefined
  /** Set when the process is about to stop: readiness turns 503, answers close their connections. */
  draining: boolean
}

export type ServiceOptions = {
  readonly name: string
  readonly version: string
  readonly config: BaseConfig
  readonly log?: Logger
  /** Metrics of other packages go into the same registry; see createRegistry. */
  readonly registry?: Registry
  /** What readiness depends on, by name. */
  readonly checks?: Readonly<Record<string, ReadinessCheck>>
  /** Needed by routes that are not public. */
  readonly authenticate?: Authenticate
  /** Largest body in bytes; 64 KiB. */
  readonly bodyLimit?: number
  /** One sentence for the OpenAPI document. */
  readonly description?: string
  /** Mean event loop delay over a second past which requests are refused with 503; 1,000 ms. */
  readonly maxEventLoopDelayMs?: number
}

const maxHeaderBytes = 16 * 1024
const maxParamLength = 1024

/**
 * A Fastify app that has what every service needs: logs, ids, traces, deadlines, problem documents, limits, metrics,
 * probes, the OpenAPI document. Add routes with addRoute, start and stop it with runService.
 */
export async function createService(options: ServiceOptions): Promise<FastifyInstance> {
  const { name, version, config, bodyLimit = 64 * 1024 } = options
  const registry = options.registry ?? createRegistry(name)
  // Typed as Fastify's own, so that the app has Fastify's default type.
  const log: FastifyBaseLogger = options.log ?? createLogger({ name, version, config })
  const observe = createHttpMetrics(registry)

  const app = Fastify({
    loggerInstance: log,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: 'requestId',
    }),
    genReqId: requestIdOf,
    childLoggerFactory: (logger, bindings, childOptions, raw) =>
      logger.child({ ...bindings, ...traceBindings(raw) }, childOptions),
    bodyLimit,
    // A whole request has to arrive within these; answers are bounded by the deadline.
    requestTimeout: 30_000,
    keepAliveTimeout: 65_000,
    http: {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: 15_000,
      connectionsCheckingInterval: 5_000,
      // Refused in protection.ts instead, with a problem document.
      requireHostHeader: false,
    },
    return503OnClosing: false,
    routerOptions: { maxParamLength },
    clientErrorHandler: refuseUnreadable(maxHeaderBytes, (requestId, status, reason) => {
      log.info({ requestId, status, reason }, 'unreadable request')
      observe('unknown', 'unreadable', status, 0)
    }),
    frameworkErrors: (error, request, reply) => {
      const refusal = toAppError(error, { bodyLimit })
      observe(request.method, 'unmatched', refusal.status, 0)
      logRequest(request, reply, refusal.status)
      void sendProblem(reply.header('x-request-id', request.id), refusal)
    },
  })

  const context: ServiceContext = {
    name,
    version,
    config,
    registry,
    authenticate: options.authenticate,
    draining: false,
  }
  app.decorate('service', context)
  app.setValidatorCompiler(validatorCompiler)
  parseJsonBodies(app)

  addSecurityHeaders(app, config.WATTLE_ENV === 'production')
  trackRequests(app, (request, reply, status) => {
    const { url: route = 'unmatched' } = request.routeOptions
    observe(request.method, route, status, reply.elapsedTime)
    logRequest(request, reply, status)
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (context.draining) reply.header('connection', 'close')
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    done(null, payload)
  })
  app.setErrorHandler((thrown, request, reply) => {
    request.failure = thrown
    return sendProblem(reply, toAppError(thrown, { bodyLimit: request.routeOptions.bodyLimit }))
  })
  answerUnknownAddresses(app)
  app.server.on('checkExpectation', refuseExpectation)

  await boundRequests(app, { maxEventLoopDelayMs: options.maxEventLoopDelayMs ?? 1_000 })
  await app.register(fastifySwagger, openApiOptions(options))
  addOperatingRoutes(app, options.checks ?? {})
  return app
}
