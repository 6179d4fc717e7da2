import fastifyUnderPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'
import { AppError } from '@wattle/contracts'

const maxUrlLength = 8 * 1024
const sampleMs = 1_000

/**
 * Headers for replies that no browser should render, frame, sniff or pass on. What helmet would set, less what concerns
 * pages only; fixed, since helmet builds them anew for each request, which is a tenth of its whole cost. A handler may set
 * others.
 */
const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}
const transportSecurity = 'max-age=31536000; includeSubDomains'

/** Adds them to every reply. Register it first, so that refusals have them too. */
export function addSecurityHeaders(app: FastifyInstance, isProduction: boolean): void {
  const headers = isProduction
    ? { ...securityHeaders, 'strict-transport-security': transportSecurity }
    : securityHeaders
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(headers)
    done()
  })
}

/** Bounds on what is asked, and 503 while the event loop cannot keep up. */
export async function boundRequests(
  app: FastifyInstance,
  options: { maxEventLoopDelayMs: number },
): Promise<void> {
  app.addHook('onRequest', (request, _reply, done) => {
    const { url = '', headers: given, httpVersion } = request.raw
    if (url.length > maxUrlLength) {
      done(new AppError('URI_TOO_LONG', `The address may have at most ${maxUrlLength} characters.`))
    } else if (given.host === undefined && httpVersion === '1.1') {
      done(new AppError('BAD_REQUEST', 'A request of HTTP/1.1 needs a Host header.'))
    } else if ((given['content-encoding'] ?? 'identity') !== 'identity') {
      done(new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send the body without Content-Encoding.'))
    } else done()
  })

  // Starting keeps the event loop busy: a sample of that, and there may be two, says nothing of the requests.
  let measuredFromMs = Infinity
  app.addHook('onReady', async () => {
    measuredFromMs = performance.now() + 2 * sampleMs
  })
  await app.register(fastifyUnderPressure, {
    maxEventLoopDelay: options.maxEventLoopDelayMs,
    sampleInterval: sampleMs,
    // Probes and scrapes are answered under any load: they tell what is going on.
    pressureHandler: (request) => {
      if (performance.now() < measuredFromMs) return undefined
      if (request.routeOptions.config.quiet === true) return undefined
      throw new AppError('UNAVAILABLE', 'Too busy at the moment; try again shortly.', {
        retryAfterSeconds: 2,
      })
    },
  })
}
