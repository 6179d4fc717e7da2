import type { FastifyReply, FastifyRequest } from 'fastify'

/** Writes the one log line of a request; no address, since ids and queries in it may be personal, and no body. */
export function logRequest(request: FastifyRequest, reply: FastifyReply, status: number): void {
  const { config, url: route = 'unmatched' } = request.routeOptions
  const fields = {
    method: request.method,
    route,
    status,
    durationMs: Math.round(reply.elapsedTime * 10) / 10,
    ...callerOf(request),
  }
  if (status >= 500) request.log.error({ ...fields, err: request.failure }, 'request failed')
  else if (config.quiet === true) request.log.debug(fields, 'request')
  else request.log.info(fields, 'request')
}

function callerOf({ principal }: FastifyRequest) {
  if (principal?.userId !== undefined) return { userId: principal.userId }
  return principal?.service === undefined ? {} : { caller: principal.service }
}
