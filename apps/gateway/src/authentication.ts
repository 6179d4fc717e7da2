import { performance } from 'node:perf_hooks'
import { bearerAuthentication, requireValid, type RevocationView } from '@wattle/identity'
import type { Authenticate } from '@wattle/service'
import { Counter, Gauge, type Registry } from 'prom-client'

export type AuthenticationDeps = {
  readonly revocations: Pick<RevocationView, 'check' | 'trustedUntilMs' | 'size'>
  readonly registry?: Registry | undefined
}

/**
 * Tells who makes a request: the signature and claims of the access token, then whether it, its session, its family or
 * all of its user was revoked, by the view in this process. While the view cannot tell, the contract of the route says
 * what happens (`whenUnknown`). Nothing is waited for, except for a key that is not known yet.
 */
export function authenticatePeople({ revocations, registry }: AuthenticationDeps): Authenticate {
  const refusals = registry && refusalMetrics(registry, revocations)
  const view = {
    check(token: Parameters<RevocationView['check']>[0]) {
      const verdict = revocations.check(token)
      if (verdict !== 'valid') refusals?.inc({ verdict })
      return verdict
    },
  }
  return async (request) => {
    const principal = await bearerAuthentication(request.server.accessTokens)(request)
    requireValid(view, principal, request.routeOptions.config.contract?.whenUnknown)
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
    name: 'wattle_revocation_refusals_total',
    help: 'Access tokens that were revoked, or of which it was not known',
    labelNames: ['verdict'] as const,
    registers,
  })
}
