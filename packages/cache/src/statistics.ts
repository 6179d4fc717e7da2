import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export type ReadStatus = 'hit' | 'miss' | 'bypass'

/** What one kind of entry has seen since the process started. */
export type KindStatistics = Readonly<
  Record<ReadStatus | 'loads' | 'loadErrors' | 'fillsRejected', number>
>

/** Counts in the process, and in Prometheus where a registry is given. */
export function createStatistics({
  service,
  registry,
  circuitState,
}: {
  service: string
  registry: Registry | undefined
  circuitState: () => number
}) {
  const kinds = new Map<string, Record<keyof KindStatistics, number>>()
  const of = (kind: string) => {
    let counts = kinds.get(kind)
    if (!counts) {
      counts = { hit: 0, miss: 0, bypass: 0, loads: 0, loadErrors: 0, fillsRejected: 0 }
      kinds.set(kind, counts)
    }
    return counts
  }

  const registers = registry ? [registry] : []
  const labels = { service, namespace: service }
  const requests = new Counter({
    name: 'wattle_cache_requests_total',
    help: 'Reads through the cache',
    labelNames: ['service', 'namespace', 'kind', 'tier', 'result'],
    registers,
  })
  const loadSeconds = new Histogram({
    name: 'wattle_cache_load_seconds',
    help: 'Time the loaders took',
    labelNames: ['service', 'namespace', 'kind'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  })
  const operationSeconds = new Histogram({
    name: 'wattle_cache_operation_seconds',
    help: 'Time of one operation of a tier, refused ones excluded',
    labelNames: ['service', 'namespace', 'tier', 'operation'],
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1],
    registers,
  })
  const fillsRejected = new Counter({
    name: 'wattle_cache_fills_rejected_total',
    help: 'Loaded values that were not stored',
    labelNames: ['service', 'namespace', 'reason'],
    registers,
  })
  const circuit = new Gauge({
    name: 'wattle_cache_circuit_state',
    help: '0 closed, 1 half-open, 2 open',
    labelNames: ['service', 'namespace'],
    registers,
    collect() {
      this.set(labels, circuitState())
    },
  })
  void circuit

  return {
    read(kind: string, status: ReadStatus): void {
      of(kind)[status]++
      requests.inc({ ...labels, kind, tier: 'l2', result: status })
    },
    loaded(kind: string, milliseconds: number, failed: boolean): void {
      of(kind).loads++
      if (failed) of(kind).loadErrors++
      loadSeconds.observe({ ...labels, kind }, milliseconds / 1_000)
    },
    fillRejected(kind: string, reason: 'lease' | 'unserializable' | 'unavailable'): void {
      of(kind).fillsRejected++
      fillsRejected.inc({ ...labels, reason })
    },
    operation(operation: string, milliseconds: number): void {
      operationSeconds.observe({ ...labels, tier: 'l2', operation }, milliseconds / 1_000)
    },
    /** A copy of the counts, by kind. */
    snapshot(): Record<string, KindStatistics> {
      return Object.fromEntries([...kinds].map(([kind, counts]) => [kind, { ...counts }]))
    },
  }
}

export type Statistics = ReturnType<typeof createStatistics>
