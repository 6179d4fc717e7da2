import { performance } from 'node:perf_hooks'
import { bearerAuthentication, requireValid, type RevocationView } from '@wattle/identity'
import type { Authenticate } from '@wattle/service'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { SessionCheck } from './session-check.ts'

export type AuthenticationDeps = {
  /** Asked while the view cannot tell. */
  readonly sessions?: SessionCheck | undefined
  readonly revocations: Pick<RevocationView, 'check' | 'trustedUntilMs' | 'size'>
  readonly registry?: Registry | undefined
}

/**
 * Tells who makes a request: the signature and claims of the access token, then whether it, its session, its family or
 * all of its user was revoked, by the view in this process. While the view cannot tell, the user service is asked, and
 * while that cannot either, the contract of the route says what happens (`whenUnknown`).
 */
export function authenticatePeople(deps: AuthenticationDeps): Authenticate {
  const { revocations, sessions, registry } = deps
  const refusals = registry && refusalMetrics(registry, revocations)

  return async (request) => {
    const principal = await bearerAuthentication(request.server.accessTokens)(request)
    const seen = revocations.check(principal)
    if (seen === 'valid') return principal
    refusals?.inc({ verdict: seen })
    const verdict =
      seen === 'unknown' && sessions !== undefined ? await sessions.check(principal, request) : seen
    requireValid(verdict, request.routeOptions.config.contract?.whenUnknown)
    return principal
  }
}

function refusalMetrics(registry: Registry, revocations: AuthenticationDeps['revocations']) {
  const registers = [registry]
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value())
      },
    })
  gauge(
    'wattle_revocations_synchronized',
    '1 while this process is sure to know every revocation, else 0',
    () => (revocations.trustedUntilMs() > performance.now() ? 1 : 0),
  )
  gauge('wattle_revocations_known', 'Revocations that this process holds', () => revocations.size)
  return new Counter({
    name: 'wattle_revocation_checks_failed_total',
    help: 'Access tokens that the view called revoked, or of which it did not know (then the user service is asked)',
    labelNames: ['verdict'] as const,
    registers,
  })
}
