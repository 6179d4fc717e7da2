import type { FastifyInstance } from 'fastify'
import { collectDefaultMetrics } from 'prom-client'
import { AppError } from '@wattle/contracts'
import { sendProblem } from './problem.ts'
import { createReadiness, type ReadinessCheck } from './readiness.ts'

const hidden = { schema: { hide: true }, config: { quiet: true } }

/** `/livez`, `/readyz`, `/metrics` and `/openapi.json`, which every service has. */
export function addOperatingRoutes(
  app: FastifyInstance,
  checks: Readonly<Record<string, ReadinessCheck>>,
): void {
  const { service } = app
  const readiness = createReadiness({ checks, log: app.log })

  // Alive means that the event loop turns; a dependency that is away is no reason to be restarted.
  app.get('/livez', hidden, () => ({ status: 'alive' }))

  app.get('/readyz', hidden, async (_request, reply) => {
    const { ready, checks: results } = await readiness()
    if (ready && !service.draining) return { status: 'ready', checks: results }
    const detail = service.draining
      ? 'This process is about to stop.'
      : `Not ready: ${failed(results).join(', ')}.`
    return sendProblem(reply, new AppError('UNAVAILABLE', detail), { checks: results })
  })

  app.get('/metrics', hidden, async (_request, reply) => {
    reply.header('content-type', service.registry.contentType)
    return service.registry.metrics()
  })

  let openApi: string | undefined
  app.get('/openapi.json', hidden, (_request, reply) => {
    openApi ??= JSON.stringify(app.swagger())
    return reply.header('content-type', 'application/json; charset=utf-8').send(openApi)
  })

  // Not before: apps that tests build and never start need no process metrics.
  app.addHook('onListen', (done) => {
    collectDefaultMetrics({ register: service.registry })
    done()
  })
}

function failed(checks: Readonly<Record<string, string>>): string[] {
  return Object.keys(checks).filter((name) => checks[name] === 'failed')
}
