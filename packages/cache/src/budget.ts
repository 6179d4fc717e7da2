import { setTimeout as sleep } from 'node:timers/promises'
import { createAim } from './budget-aim.ts'
import { mastersOf, pass, type Weight } from './budget-pass.ts'
import type { Cache } from './cache.ts'
import { createDuty } from './duty.ts'
import { internalsOf } from './internals.ts'
import { gaugeIn } from './metrics.ts'
import { longestTimerMs, numberAboveZero, wholeNumber } from './number-option.ts'

export type BudgetOptions = {
  cache: Cache
  /** What the namespace may take in Redis, by summed MEMORY USAGE. */
  bytes: number
  /** How long one walk over the keys takes; up to three times as long while there is much room left. Default 5,000. */
  passMs?: number
}

export type BudgetUsage = {
  readonly budgetBytes: number
  /** Of all keys of the namespace; 0 before the first walk. */
  readonly bytes: number
  readonly keys: number
  /** Entries removed by this process since it started. */
  readonly removed: number
}

export type Budget = {
  start(): void
  /** Ends the walk under way; resolves when it has ended. */
  stop(): Promise<void>
  /** One walk now. Undefined when another process of the fleet has the duty, or Redis is not there. */
  run(): Promise<BudgetUsage | undefined>
  /** As this process saw it last. */
  usage(): BudgetUsage
}

const dutyMs = 10_000

/**
 * Keeps a namespace on a shared Redis within its budget, by removing its own coldest entries.
 *
 * Redis evicts when the whole server is full, and then whatever is cold, whoever it belongs to: one service that caches
 * too much empties the others. So one process of each service walks over the service's keys, weighs them, and removes what
 * is cold on the way, as much as budget-aim.ts says. Removing is no invalidation: a reader finds a miss.
 */
export function keepBudget({ cache, bytes: budgetBytes, passMs = 5_000 }: BudgetOptions): Budget {
  numberAboveZero('bytes of the budget', budgetBytes, ' of bytes')
  wholeNumber('passMs of the budget', passMs, 0, longestTimerMs)
  const { space, cores, registry } = internalsOf(cache)
  const duty = createDuty(space, 'budget', dutyMs)
  const labels = { service: space.keys.service, namespace: space.keys.service }
  const l2 = { ...labels, tier: 'l2' }
  const labelNames = ['service', 'namespace', 'tier']
  const bytesGauge = gaugeIn(registry, { name: 'wattle_cache_bytes', help: 'Bytes', labelNames })
  const keysGauge = gaugeIn(registry, { name: 'wattle_cache_entries', help: 'Keys', labelNames })
  gaugeIn(registry, {
    name: 'wattle_cache_budget_bytes',
    help: 'What the namespace may take in Redis',
    labelNames: ['service', 'namespace'],
  }).set(labels, budgetBytes)

  const aim = createAim({ budgetBytes, now: space.now })
  let last: Weight | undefined
  let removed = 0
  let heldMs = -Infinity
  const usage = (): BudgetUsage => ({
    budgetBytes,
    bytes: Math.round(aim.bytes()),
    keys: last?.keys ?? 0,
    removed,
  })

  /** Whether this process has the duty; asked once a second only. While Redis does not answer it is not given up. */
  async function mayGoOn(): Promise<boolean> {
    if (stopping) return false
    if (space.now() - heldMs < 1_000) return true
    const held = await duty.hold()
    if (held === 'held') heldMs = space.now()
    else if (held === 'lost') forget()
    return held === 'held' || space.now() - heldMs < dutyMs
  }

  async function measureOf(): Promise<'FREQ' | 'IDLETIME'> {
    const [info] = await space.redis.info('memory')
    return info?.memory?.maxPolicy.endsWith('lfu') === true ? 'FREQ' : 'IDLETIME'
  }

  async function walk(ms: number): Promise<BudgetUsage | undefined> {
    heldMs = -Infinity
    if (!(await mayGoOn())) return undefined
    try {
      const weight = await pass({
        space,
        measure: await measureOf(),
        kinds: [...new Set([...cores.values()].map(({ name }) => name))],
        aim,
        passMs: ms,
        lastSteps: last?.steps,
        mayGoOn,
        pause,
      })
      if (!weight) return undefined
      last = weight
      aim.end(weight)
      removed += weight.removed
      space.statistics.evictedFromL2(weight.removed)
      bytesGauge.set(l2, usage().bytes)
      keysGauge.set(l2, weight.keys)
      return usage()
    } catch (cause) {
      space.log.warn({ err: cause }, 'the budget could not be looked after: it is tried again')
      return undefined
    }
  }

  /** What this process knew is of no use after another one has looked after the budget. */
  function forget(): void {
    last = undefined
    aim.forget()
    bytesGauge.remove(l2)
    keysGauge.remove(l2)
  }

  let stopping = false
  let over = new AbortController()
  const pause = (ms: number) =>
    sleep(ms, undefined, { ref: false, signal: over.signal }).catch(() => {})
  let loop: Promise<void> | undefined
  async function keepOn(): Promise<void> {
    while (!stopping) {
      const done = await walk(aim.paceMs(passMs))
      if (!done) await pause(Math.min(passMs, 1_000))
    }
    await duty.leave()
  }

  return {
    start() {
      stopping = false
      over = new AbortController()
      loop ??= keepOn().finally(() => (loop = undefined))
    },
    async stop() {
      stopping = true
      over.abort()
      await loop
    },
    run: () => walk(0),
    usage,
  }
}

/**
 * What is wrong with the budgets of a shared Redis, in sentences; empty when nothing is. `budgets` in bytes by service, of
 * all that share it. Rejects when Redis cannot be asked.
 */
export async function checkBudgets({
  cache,
  budgets,
}: {
  cache: Cache
  budgets: Readonly<Record<string, number>>
}): Promise<string[]> {
  const { space } = internalsOf(cache)
  for (const [service, bytes] of Object.entries(budgets)) {
    numberAboveZero(`the budget of ${service}`, bytes, ' of bytes')
  }
  const infos = await space.redis.info('memory')
  if (infos.length < mastersOf(space).length) return ['Redis does not tell its maxmemory.']
  const sum = Object.values(budgets).reduce((total, bytes) => total + bytes, 0)
  const maxBytes = infos.reduce((total, { memory }) => total + (memory?.maxBytes ?? 0), 0)
  const isSet = infos.every(({ memory }) => memory?.maxBytes)
  const needed = Math.ceil(sum * 1.25)
  const policies = new Set(infos.map(({ memory }) => memory?.maxPolicy ?? ''))
  return [
    ...(!isSet
      ? [`maxmemory of Redis ${space.redis.name} is not set: set it to ${needed} bytes or more.`]
      : []),
    ...(isSet && maxBytes < needed
      ? [
          `maxmemory of Redis ${space.redis.name} is ${maxBytes} bytes, less than 1.25 times the budgets (${sum}): raise it to ${needed}, or lower a budget.`,
        ]
      : []),
    ...[...policies]
      .filter((policy) => policy.startsWith('allkeys'))
      .map(
        (policy) =>
          `maxmemory-policy of Redis ${space.redis.name} is ${policy}, which evicts the cache's bookkeeping too: set volatile-lfu.`,
      ),
  ]
}
