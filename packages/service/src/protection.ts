import fastifyHelmet from '@fastify/helmet'
import fastifyUnderPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'
import { AppError } from '@wattle/contracts'

const maxUrlLength = 8 * 1024

/** Security headers fit for an API, a bound on addresses, and 503 while the event loop cannot keep up. */
export async function protect(
  app: FastifyInstance,
  options: { isProduction: boolean; maxEventLoopDelayMs: number },
): Promise<void> {
  await app.register(fastifyHelmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    strictTransportSecurity: options.isProduction,
    crossOriginEmbedderPolicy: false,
    originAgentCluster: false,
    xDownloadOptions: false,
    xFrameOptions: { action: 'deny' },
    xXssProtection: false,
  })

  app.addHook('onRequest', (request, _reply, done) => {
    const { url = '', headers, httpVersion } = request.raw
    if (url.length > maxUrlLength) {
      done(new AppError('URI_TOO_LONG', `The address may have at most ${maxUrlLength} characters.`))
    } else if (headers.host === undefined && httpVersion === '1.1') {
      done(new AppError('BAD_REQUEST', 'A request of HTTP/1.1 needs a Host header.'))
    } else if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
      done(new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send the body without Content-Encoding.'))
    } else done()
  })

  await app.register(fastifyUnderPressure, {
    maxEventLoopDelay: options.maxEventLoopDelayMs,
    // Probes and scrapes are answered under any load: they tell what is going on.
    pressureHandler: (request) => {
      if (request.routeOptions.config.quiet === true) return undefined
      throw new AppError('UNAVAILABLE', 'Too busy at the moment; try again shortly.', {
        retryAfterSeconds: 2,
      })
    },
  })
}
