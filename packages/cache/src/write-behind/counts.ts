import { Gauge, Histogram, type Counter, type Registry } from 'prom-client'
import { counterIn } from '../metrics.ts'
import type { Backlog } from './options.ts'

/** What one process did for one write-behind since it started. */
export type Counts = {
  accepted: number
  refused: number
  written: number
  /** Changes that a newer one of their key made superfluous before they were written. */
  coalesced: number
  /** Calls of `write` that succeeded, and those that failed. */
  batches: number
  failures: number
  /** Changes that were given to `write` again. */
  retries: number
  dead: number
}

const begin = 'wattle_cache_write_behind_'
const labelNames = ['service', 'namespace', 'name']
/** Calls of `write` are counted by the histogram. */
const counters = {
  accepted: ['accepted', 'Changes that the stream has taken from this process'],
  refused: ['refused', 'Changes that were not accepted'],
  written: ['written', 'Changes that this process wrote to the source'],
  coalesced: ['coalesced', 'Changes that a newer one of their key made superfluous'],
  failures: ['failures', 'Calls of write that failed'],
  retries: ['retries', 'Changes that were given to write again'],
  dead: ['dead_letters', 'Changes that went to the dead letters'],
} as const satisfies Partial<Record<keyof Counts, readonly [name: string, help: string]>>

const gauges = {
  pending: ['Changes that are not in the source yet', ({ changes }) => changes],
  pending_keys: ['Keys with such a change', ({ keys }) => keys],
  oldest_pending_seconds: ['Age of the oldest of them', ({ oldestMs }) => oldestMs / 1_000],
  dead_letters_waiting: ['Dead letters to redrive or discard', ({ deadLetters }) => deadLetters],
} as const satisfies Record<string, readonly [help: string, read: (from: Backlog) => number]>

/**
 * Counts of all write-behinds of one cache, in the process and in Prometheus. What waits is asked for when Prometheus asks,
 * by every process, so that it shows also where none can write: aggregate with `max`. While Redis does not say it, it is
 * missing.
 */
export function createWriteMetrics({
  service,
  registry,
}: {
  service: string
  registry: Registry | undefined
}) {
  const registers = registry ? [registry] : []
  const sources = new Map<string, () => Promise<Backlog>>()
  const labelsOf = (name: string) => ({ service, namespace: service, name })

  async function askAll() {
    const asked = [...sources].map(async ([name, ask]) => [name, await ask()] as const)
    const answers = await Promise.allSettled(asked)
    return answers.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  }
  /** All gauges of one scrape are of one answer. */
  let asking: ReturnType<typeof askAll> | undefined
  const ask = () => (asking ??= askAll().finally(() => (asking = undefined)))

  let seconds: Histogram | undefined
  /** With the first write-behind: a service without one shows nothing of it. */
  function register(): Histogram {
    for (const [name, [help, read]] of Object.entries(gauges)) {
      const gauge = new Gauge({
        name: begin + name,
        help,
        labelNames,
        registers,
        async collect() {
          const answers = await ask()
          gauge.reset()
          for (const [source, backlog] of answers) gauge.set(labelsOf(source), read(backlog))
        },
      })
    }
    return new Histogram({
      name: `${begin}batch_seconds`,
      help: 'Time of one call of write, failed ones included',
      labelNames,
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    })
  }

  /** The counts of one write-behind, from zero. Throws a TypeError when the name is taken. */
  return function countsOf(name: string, backlog: () => Promise<Backlog>) {
    if (sources.has(name)) {
      throw new TypeError(
        `the name ${name} is another write-behind's, whose source would get these changes: give each kind a name of its own`,
      )
    }
    const batchSeconds = (seconds ??= register())
    sources.set(name, backlog)
    const labels = labelsOf(name)
    const counts: Counts = {
      accepted: 0,
      refused: 0,
      written: 0,
      coalesced: 0,
      batches: 0,
      failures: 0,
      retries: 0,
      dead: 0,
    }
    const shown = new Map<string, Counter.Internal>()
    for (const [count, [ending, help]] of Object.entries(counters)) {
      const counter = counterIn(registry, { name: `${begin}${ending}_total`, help, labelNames })
      const one = counter.labels(labels)
      // So that the first one shows as an increase.
      one.inc(0)
      shown.set(count, one)
    }
    return {
      add(count: keyof Counts, by = 1): void {
        counts[count] += by
        shown.get(count)?.inc(by)
      },
      /** How long a call of `write` took. */
      wrote(milliseconds: number): void {
        batchSeconds.observe(labels, milliseconds / 1_000)
      },
      snapshot: (): Counts => ({ ...counts }),
    }
  }
}

export type WriteMetrics = ReturnType<typeof createWriteMetrics>
export type WriteCounts = ReturnType<WriteMetrics>
