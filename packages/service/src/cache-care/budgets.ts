import { checkBudgets, type Cache } from '@wattle/cache'
import { Gauge, type Registry } from 'prom-client'

const mebibyte = 2 ** 20

/**
 * What each service may use of the Redis that all share, in bytes. It stands in one table, because `maxmemory` has to be
 * 1.25 times the sum.
 */
export const cacheBudgets: Readonly<Record<string, number>> = {
  // The state of rate limits, which nobody trims: it expires by itself, within its longest window.
  gateway: 32 * mebibyte,
  user: 128 * mebibyte,
  payment: 64 * mebibyte,
  billing: 64 * mebibyte,
  notification: 32 * mebibyte,
  document: 64 * mebibyte,
  utility: 16 * mebibyte,
  analytics: 128 * mebibyte,
  webhook: 32 * mebibyte,
}

/** The line of a service. Throws where it has none, with what to do. */
export function cacheBudgetOf(service: string): number {
  const bytes = cacheBudgets[service]
  if (bytes !== undefined) return bytes
  throw new Error(
    `the service ${service} has no budget of the shared Redis: add its line to cacheBudgets in packages/service/src/cache-care/budgets.ts`,
  )
}

const retryMs = 1_000
const againMs = 600_000

/**
 * Asks Redis at start, as soon as it answers, whether it has room for all budgets, and every ten minutes from then on:
 * after a failover it may be another server. What is wrong is logged when it is new, one sentence each.
 */
export function watchBudgets({
  cache,
  log,
  registry,
  budgets = cacheBudgets,
}: {
  cache: Cache
  log: { warn(message: string): void }
  registry: Registry
  budgets?: Readonly<Record<string, number>>
}): { problems(): readonly string[]; stop(): void } {
  const gauge = new Gauge({
    name: 'wattle_cache_budget_problems',
    help: 'What is wrong with the memory settings of the shared Redis; the log has the sentences',
    registers: [registry],
  })
  let told: readonly string[] = []
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  async function look(): Promise<void> {
    let nextMs = retryMs
    try {
      const found = cache.synchronized ? await checkBudgets({ cache, budgets }) : undefined
      if (found) {
        for (const sentence of found) if (!told.includes(sentence)) log.warn(sentence)
        told = found
        gauge.set(found.length)
        nextMs = againMs
      }
    } catch {
      // Redis went away meanwhile.
    }
    if (!stopped) timer = setTimeout(() => void look(), nextMs).unref()
  }
  void look()

  return {
    problems: () => told,
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}
