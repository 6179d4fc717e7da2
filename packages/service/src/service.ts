import type { Socket } from 'node:net'
import fastifyHelmet from '@fastify/helmet'
import fastifySwagger from '@fastify/swagger'
import fastifyUnderPressure from '@fastify/under-pressure'
import Fastify, { LogController, type FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import { AppError, newId } from '@wattle/contracts'
import { trackMethods } from './allowed-methods.ts'
import type { BaseConfig } from './base-config.ts'
import { createHttpMetrics, createRegistry } from './http-metrics.ts'
import { parseJsonBodies } from './json-body.ts'
import { createLogger, type Logger } from './log.ts'
import { openApiOptions } from './openapi.ts'
import { addOperatingRoutes } from './operating-routes.ts'
import type { Authenticate } from './principal.ts'
import { connectionError, rawProblem, sendProblem, toAppError } from './problem.ts'
import type { ReadinessCheck } from './readiness.ts'
import { traceBindings, trackRequests } from './request-context.ts'
import { requestIdOf } from './trace.ts'
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
const maxUrlLength = 8 * 1024
const maxParamLength = 1024

/**
 * A Fastify app that has what every service needs: logs, ids, traces, deadlines, problem documents, limits, metrics,
 * probes, the OpenAPI document. Add routes with addRoute, start and stop it with runService.
 */
export async function createService(options: ServiceOptions): Promise<FastifyInstance> {
  const { name, version, config, bodyLimit = 64 * 1024 } = options
  const registry = options.registry ?? createRegistry(name)
  const log = options.log ?? createLogger({ name, version, config })
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
    http: { maxHeaderSize: maxHeaderBytes, headersTimeout: 15_000 },
    return503OnClosing: false,
    routerOptions: { maxParamLength },
    clientErrorHandler: (error, socket) => refuse(error, socket),
    frameworkErrors: (error, _request, reply) => {
      void sendProblem(reply, toAppError(error, { bodyLimit }))
    },
  }) as unknown as FastifyInstance

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

  trackRequests(app, (request, reply, status) => {
    const { config: routeConfig, url: route = 'unmatched' } = request.routeOptions
    const elapsedMs = reply.elapsedTime
    observe(request.method, route, status, elapsedMs)
    const fields = {
      method: request.method,
      route,
      status,
      durationMs: Math.round(elapsedMs * 10) / 10,
      ...(request.principal === undefined
        ? {}
        : { userId: request.principal.userId, callingService: request.principal.service }),
      ...(status >= 500 && request.failure !== undefined ? { err: request.failure } : {}),
    }
    if (status >= 500) request.log.error(fields, 'request failed')
    else if (routeConfig.quiet === true) request.log.debug(fields, 'request')
    else request.log.info(fields, 'request')
  })

  app.addHook('onRequest', (request, reply, done) => {
    if (context.draining) reply.header('connection', 'close')
    if (request.raw.url !== undefined && request.raw.url.length > maxUrlLength) {
      done(new AppError('URI_TOO_LONG', `The address may have at most ${maxUrlLength} characters.`))
    } else done()
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    done(null, payload)
  })

  app.setErrorHandler((thrown, request, reply) => {
    request.failure = thrown
    return sendProblem(reply, toAppError(thrown, { bodyLimit: request.routeOptions.bodyLimit }))
  })

  const methodsOf = trackMethods(app)
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(request.url.split('?', 1)[0] ?? '')
    if (allowed.length === 0) {
      return sendProblem(reply, new AppError('NOT_FOUND', 'There is nothing at this address.'))
    }
    reply.header('allow', allowed.join(', '))
    if (request.method === 'OPTIONS') return reply.code(204).send()
    const message = `This address takes ${allowed.join(', ')}.`
    return sendProblem(reply, new AppError('METHOD_NOT_ALLOWED', message))
  })

  await app.register(fastifyHelmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    strictTransportSecurity: config.WATTLE_ENV === 'production',
    crossOriginEmbedderPolicy: false,
    originAgentCluster: false,
    xDownloadOptions: false,
    xXssProtection: false,
  })
  await app.register(fastifyUnderPressure, {
    maxEventLoopDelay: options.maxEventLoopDelayMs ?? 1_000,
    retryAfter: 2,
    // Probes and scrapes are answered under any load: they tell what is going on.
    pressureHandler: (request) => {
      if (request.routeOptions.config.quiet === true) return undefined
      throw new AppError('UNAVAILABLE', 'Too busy at the moment; try again shortly.', {
        retryAfterSeconds: 2,
      })
    },
  })
  await app.register(fastifySwagger, openApiOptions(options))
  addOperatingRoutes(app, options.checks ?? {})
  return app
}
