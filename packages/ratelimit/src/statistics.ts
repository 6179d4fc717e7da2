import { Counter, Gauge, type Registry } from 'prom-client'
import type { CircuitState } from './circuit.ts'
import type { Decision, LimitStatistics } from './limit.ts'

type Counts = {
  -readonly [K in Exclude<keyof LimitStatistics, 'refusedBy'>]: LimitStatistics[K]
}

export type Tally = {
  decided(decision: Decision): void
  refunded(): void
  read(): LimitStatistics
}

export type Statistics = {
  of(limit: string): Tally
  circuit(state: CircuitState): void
}

const results: Readonly<Record<keyof Counts, string>> = {
  allowed: 'allowed',
  refused: 'refused',
  allowedLocally: 'allowed_locally',
  refusedLocally: 'refused_locally',
  closed: 'closed',
  refunded: 'refunded',
}

/** Counts decisions in plain numbers, which Prometheus collects when it asks: nothing is looked up in a decision. */
export function createStatistics(service: string, registry: Registry | undefined): Statistics {
  const tallies = new Map<string, Counts>()
  let circuitState: CircuitState = 'closed'
  if (registry) {
    void new Counter({
      name: 'wattle_ratelimit_decisions_total',
      help: 'Decisions of limits: allowed, refused, the same locally (without Redis), closed; and refunded ones',
      labelNames: ['service', 'limit', 'result'],
      registers: [registry],
      collect() {
        this.reset()
        for (const [limit, counts] of tallies) {
          for (const [name, result] of Object.entries(results)) {
            this.inc({ service, limit, result }, counts[name as keyof Counts])
          }
        }
      },
    })
    void new Gauge({
      name: 'wattle_ratelimit_circuit_state',
      help: '0 limits are decided by Redis, 2 without it',
      labelNames: ['service'],
      registers: [registry],
      collect() {
        this.set({ service }, circuitState === 'open' ? 2 : 0)
      },
    })
  }

  return {
    circuit: (state) => void (circuitState = state),
    of(limit) {
      const counts: Counts = {
        allowed: 0,
        refused: 0,
        allowedLocally: 0,
        refusedLocally: 0,
        closed: 0,
        refunded: 0,
      }
      const refusedBy: Record<string, number> = {}
      tallies.set(limit, counts)
      return {
        decided({ allowed, decidedBy, level }) {
          if (allowed) {
            if (decidedBy === 'local') counts.allowedLocally++
            else counts.allowed++
            return
          }
          if (decidedBy === 'nobody') counts.closed++
          else if (decidedBy === 'local') counts.refusedLocally++
          else counts.refused++
          refusedBy[level] = (refusedBy[level] ?? 0) + 1
        },
        refunded: () => void counts.refunded++,
        read: () => ({ ...counts, refusedBy: { ...refusedBy } }),
      }
    },
  }
}
