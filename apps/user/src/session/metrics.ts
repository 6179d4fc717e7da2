import type { SessionStatistics } from '@wattle/contracts'
import { Counter, Gauge, type Registry } from 'prom-client'

/** What is counted about identity in this process, and about sessions in the database. */
export function identityMetrics(options: {
  registry: Registry
  statistics: () => Promise<SessionStatistics>
  /** How old the figures of the database may be. */
  maxAgeMs?: number
  now?: () => number
}) {
  const { registry, statistics, maxAgeMs = 10_000, now = Date.now } = options
  const registers = [registry]
  let read: { atMs: number; figures: Promise<SessionStatistics | undefined> } | undefined

  /** One query for all gauges of a scrape; without a database the last figures stay. */
  function figures(): Promise<SessionStatistics | undefined> {
    if (read === undefined || now() - read.atMs > maxAgeMs) {
      read = { atMs: now(), figures: statistics().catch(() => undefined) }
    }
    return read.figures
  }

  const gauge = (name: string, help: string, of: (all: SessionStatistics) => number) =>
    new Gauge({
      name,
      help: `${help}. The same in every copy: aggregate with max`,
      registers,
      async collect() {
        const all = await figures()
        if (all !== undefined) this.set(of(all))
      },
    })
  gauge(
    'wattle_sessions_active',
    'Sessions that are neither ended nor expired',
    (all) => all.active,
  )
  gauge('wattle_sessions_total', 'Sessions on record', (all) => all.total)
  gauge('wattle_token_families', 'Families that can be refreshed', (all) => all.families)
  gauge('wattle_revocations_live', 'Revocations that still matter', (all) => all.revoked)

  return {
    issued: new Counter({
      name: 'wattle_tokens_issued_total',
      help: 'Access tokens issued, by what for: login or refresh',
      labelNames: ['reason'] as const,
      registers,
    }),
    refreshes: new Counter({
      name: 'wattle_token_refreshes_total',
      help: 'Refreshes by outcome: continued, refused, reused (a spent token), unusual, over',
      labelNames: ['outcome'] as const,
      registers,
    }),
    logins: new Counter({
      name: 'wattle_login_attempts_total',
      help: 'Attempts to log in by result: succeeded, failed, locked',
      labelNames: ['result'] as const,
      registers,
    }),
    ended: new Counter({
      name: 'wattle_sessions_ended_total',
      help: 'Sessions ended, by reason',
      labelNames: ['reason'] as const,
      registers,
    }),
  }
}

export type IdentityMetrics = ReturnType<typeof identityMetrics>
