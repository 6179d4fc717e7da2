import { setTimeout as wait } from 'node:timers/promises'
import type * as CacheModule from '../../../src/index.ts'
import type { LoadedKind } from '../../../src/index.ts'
import { rowsOfKind, type Plan, type Value } from '../plan.ts'
import { settleMs } from './check-features.ts'
import type { Accusation } from './facts.ts'
import type { Feature } from './names.ts'

type Load = (row: number) => Promise<Value>

/** Less than what the entries of a run take, so that some are removed all the time. */
const budgetBytes = 40_000

/** What works in the background of a process: budget, warming, hot keys, audit; as often as they can. */
export function openBackground({
  modules: { keepBudget, createWarming, trackHotKeys, auditCache, warm },
  on,
  cache,
  process,
  plan,
  member,
}: {
  modules: Pick<
    typeof CacheModule,
    'keepBudget' | 'createWarming' | 'trackHotKeys' | 'auditCache' | 'warm'
  >
  on: readonly Feature[]
  cache: CacheModule.Cache
  process: number
  plan: Plan
  /** Undefined for a kind without a loader of its own. */
  member: (row: number) => LoadedKind<Load> | undefined
}) {
  const stops: (() => Promise<unknown>)[] = []
  let fetched = 0
  const warmed = { warmed: 0, present: 0 }
  const warmRow = (row: number) => {
    const kind = member(row)
    return kind ? [warm(kind, row)] : []
  }
  /** Who reads a row soon reads the next one of its kind. */
  const nextRow = (row: number) =>
    Math.floor(row / rowsOfKind) * rowsOfKind + ((row + 1) % rowsOfKind)

  const jobs: CacheModule.WarmingJob[] = []
  if (on.includes('warming')) {
    const everyRow = Array.from({ length: plan.rowCount }, (_, row) => row)
    const find = () => everyRow.flatMap(warmRow)
    jobs.push({ name: 'everything', batch: 20, concurrency: 2, find })
  }
  if (on.includes('hot-keys')) {
    const related = Object.fromEntries(
      plan.kinds.map(({ name }) => [
        name,
        (row: number) => {
          fetched++
          return warmRow(nextRow(row))
        },
      ]),
    )
    const hot = trackHotKeys({
      cache,
      related,
      size: 64,
      hottest: 40,
      everyMs: 300,
      sampleEvery: 16,
    })
    hot.start()
    stops.push(hot.stop)
    jobs.push({ name: 'predicted', find: () => hot.predict(40) })
  }
  if (jobs.length > 0) {
    const warming = createWarming({ cache, jobs })
    const ended = new AbortController()
    void keepWarming(warming, ended.signal)
    stops.push(() => {
      ended.abort()
      return warming.close()
    })
  }
  let removed = () => 0
  if (on.includes('budget')) {
    const budget = keepBudget({ cache, bytes: budgetBytes, passMs: 300 })
    budget.start()
    stops.push(budget.stop)
    removed = () => budget.usage().removed
  }
  /** Each job again and again, where no other process runs it. */
  async function keepWarming(warming: CacheModule.Warming, ended: AbortSignal) {
    for (;;) {
      for (const { name } of jobs) {
        if (ended.aborted) return
        const run = await warming.run(name)
        warmed.warmed += run?.warmed ?? 0
        warmed.present += run?.present ?? 0
      }
      await wait(200)
    }
  }

  let accused = 0
  const audit = on.includes('audit')
    ? auditCache({ cache, rate: 100, settleMs, everyMs: 300, sampleEvery: 4 })
    : undefined
  audit?.start()
  if (audit) stops.push(audit.stop)

  return {
    /** What the audit has found since the last call. */
    accusations(): Accusation[] {
      const report = audit?.report()
      const fresh = report?.findings.slice(0, report.inconsistent - accused) ?? []
      accused = report?.inconsistent ?? 0
      return fresh.map(({ key, tier, atMs }) => ({ process, row: rowOf(key), tier, atMs }))
    },
    activity: () => ({
      'entries removed for the budget': removed(),
      'related entries fetched': fetched,
      'entries warmed': warmed.warmed,
      'entries found warm': warmed.present,
      'entries audited': audit?.report().checked ?? 0,
      'entries accused': audit?.report().inconsistent ?? 0,
    }),
    stop: () => Promise.all(stops.map((stop) => stop())),
  }
}

/** The last part of every key ends in the number of its row. */
const rowOf = (key: string) => Number(/(\d+)$/.exec(key)?.[1] ?? NaN)
