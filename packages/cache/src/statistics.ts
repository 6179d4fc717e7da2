import { Counter, Gauge, type Registry } from 'prom-client'
import { SeriesHistogram, type Series } from './histogram.ts'
import type { ReadStatus, ReadTier } from './outcome.ts'

export type Rejection = 'lease' | 'epoch' | 'invalidated' | 'unavailable' | 'unserializable'

/** What one kind of entry has seen since the process started. */
export type KindStatistics = {
  readonly hits: { readonly l1: number; readonly l2: number }
  readonly stale: number
  readonly misses: number
  readonly bypasses: number
  readonly loads: number
  readonly loadErrors: number
  /** Sum of the milliseconds that loads took. */
  readonly loadMs: number
  /** How often a flight waited for the load of another process. */
  readonly leaseWaits: number
  readonly fillsRejected: Readonly<Record<Rejection, number>>
}

/** Counts of one kind; plain fields, since some are counted at every read. */
export class KindCounts {
  l1Hits = 0
  l2Hits = 0
  stale = 0
  misses = 0
  bypasses = 0
  loads = 0
  loadErrors = 0
  loadMs = 0
  leaseWaits = 0
  readonly fillsRejected: Record<Rejection, number> = {
    lease: 0,
    epoch: 0,
    invalidated: 0,
    unavailable: 0,
    unserializable: 0,
  }
  readonly #loadSeconds: Series

  constructor(loadSeconds: Series) {
    this.#loadSeconds = loadSeconds
  }

  read(status: ReadStatus, tier: ReadTier, callers: number): void {
    if (status === 'hit') {
      if (tier === 'l1') this.l1Hits += callers
      else this.l2Hits += callers
    } else if (status === 'stale') this.stale += callers
    else if (status === 'miss') this.misses += callers
    else this.bypasses += callers
  }

  loaded(milliseconds: number, failed: boolean): void {
    this.loads++
    if (failed) this.loadErrors++
    this.loadMs += milliseconds
    this.#loadSeconds.observe(milliseconds / 1_000)
  }

  rejected(reason: Rejection): void {
    this.fillsRejected[reason]++
  }

  snapshot(): KindStatistics {
    const { stale, misses, bypasses, loads, loadErrors, loadMs, leaseWaits } = this
    return {
      hits: { l1: this.l1Hits, l2: this.l2Hits },
      stale,
      misses,
      bypasses,
      loads,
      loadErrors,
      loadMs,
      leaseWaits,
      fillsRejected: { ...this.fillsRejected },
    }
  }
}

/** What is read when Prometheus asks. */
export type Gauges = {
  l1Entries(): number
  l1Bytes(): number
  evictions(): number
  synchronized(): boolean
  circuitOpen(): boolean
}

/**
 * Counts in the process, and in Prometheus where a registry is given. The hot path only adds to fields; what Prometheus
 * shows is made of them when it asks.
 */
export function createStatistics({
  service,
  registry,
}: {
  service: string
  registry: Registry | undefined
}) {
  const kinds = new Map<string, KindCounts>()
  let gauges: Gauges | undefined
  let evictedFromL2 = 0
  const registers = registry ? [registry] : []
  const labels = { service, namespace: service }
  const labelNames = ['service', 'namespace']

  const loadSeconds = new SeriesHistogram({
    name: 'wattle_cache_load_seconds',
    help: 'Time the loaders took',
    labelNames: [...labelNames, 'kind'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  })
  const operationSeconds = new SeriesHistogram({
    name: 'wattle_cache_operation_seconds',
    help: 'Time of one command of a tier, which may serve many reads',
    labelNames: [...labelNames, 'tier', 'operation'],
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1],
    registers,
  })
  const lagSeconds = new SeriesHistogram({
    name: 'wattle_cache_invalidation_lag_seconds',
    help: 'From the sending of an invalidation to its effect in this process',
    labelNames,
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
    registers,
  })
  const lag = lagSeconds.series(labels)
  const operations = new Map<string, Series>()

  /** A counter that takes over what was counted in fields since it was last asked. */
  function counted(
    name: string,
    help: string,
    names: string[],
    sum: (add: (labels: Record<string, string>, count: number) => void) => void,
  ): void {
    const counter = new Counter({
      name,
      help,
      labelNames: [...labelNames, ...names],
      registers,
      collect() {
        counter.reset()
        sum((own, count) => counter.inc({ ...labels, ...own }, count))
      },
    })
  }
  counted('wattle_cache_requests_total', 'Reads', ['kind', 'tier', 'result'], (add) => {
    for (const [kind, counts] of kinds) {
      add({ kind, tier: 'l1', result: 'hit' }, counts.l1Hits)
      add({ kind, tier: 'l2', result: 'hit' }, counts.l2Hits)
      add({ kind, tier: 'l2', result: 'stale' }, counts.stale)
      add({ kind, tier: 'l2', result: 'miss' }, counts.misses)
      add({ kind, tier: 'l2', result: 'bypass' }, counts.bypasses)
    }
  })
  counted('wattle_cache_fills_rejected_total', 'Loaded values not stored', ['reason'], (add) => {
    for (const counts of kinds.values()) {
      for (const [reason, count] of Object.entries(counts.fillsRejected)) add({ reason }, count)
    }
  })
  counted(
    'wattle_cache_lease_waits_total',
    'Waits for the load of another process',
    ['kind'],
    (add) => {
      for (const [kind, counts] of kinds) add({ kind }, counts.leaseWaits)
    },
  )
  counted('wattle_cache_evictions_total', 'Entries that a bound pushed out', ['tier'], (add) => {
    add({ tier: 'l1' }, gauges?.evictions() ?? 0)
    add({ tier: 'l2' }, evictedFromL2)
  })

  function gauge(
    name: string,
    help: string,
    read: (from: Gauges) => number,
    own?: Record<string, string>,
  ) {
    const one = new Gauge({
      name,
      help,
      labelNames: [...labelNames, ...Object.keys(own ?? {})],
      registers,
      collect() {
        if (gauges) one.set({ ...labels, ...own }, read(gauges))
      },
    })
  }
  gauge('wattle_cache_entries', 'Entries', (from) => from.l1Entries(), { tier: 'l1' })
  gauge('wattle_cache_bytes', 'Bytes of values', (from) => from.l1Bytes(), { tier: 'l1' })
  gauge(
    'wattle_cache_synchronized',
    '1 while this process has proof of having heard every invalidation',
    (from) => Number(from.synchronized()),
  )
  gauge('wattle_cache_circuit_state', '0 closed, 1 open: Redis is not asked', (from) =>
    Number(from.circuitOpen()),
  )

  return {
    /** The counts of a kind, made at first use. */
    kind(name: string): KindCounts {
      let counts = kinds.get(name)
      if (!counts) {
        counts = new KindCounts(loadSeconds.series({ ...labels, kind: name }))
        kinds.set(name, counts)
      }
      return counts
    },
    operation(operation: string, milliseconds: number): void {
      let observed = operations.get(operation)
      if (!observed) {
        observed = operationSeconds.series({ ...labels, tier: 'l2', operation })
        operations.set(operation, observed)
      }
      observed.observe(milliseconds / 1_000)
    },
    lag(milliseconds: number): void {
      lag.observe(Math.max(0, milliseconds) / 1_000)
    },
    /** Entries that went because the namespace was over its budget. */
    evictedFromL2(entries: number): void {
      evictedFromL2 += entries
    },
    show(from: Gauges): void {
      gauges = from
    },
    /** A copy of the counts, by kind. */
    snapshot(): Record<string, KindStatistics> {
      return Object.fromEntries([...kinds].map(([kind, counts]) => [kind, counts.snapshot()]))
    },
  }
}

export type Statistics = ReturnType<typeof createStatistics>
