import {
  auditCache,
  createWarming,
  keepBudget,
  trackHotKeys,
  type Audit,
  type AuditOptions,
  type Budget,
  type Cache,
  type HotKeys,
  type HotKeysOptions,
  type Warm,
  type Warming,
  type WarmingJob,
} from '@wattle/cache'
import type { FastifyInstance } from 'fastify'
import type { StartContext } from '../run.ts'
import { cacheBudgetOf, watchBudgets } from './budgets.ts'
import { addCareRoutes } from './routes.ts'

export type CareOptions = {
  readonly cache: Cache
  readonly onClose: StartContext['onClose']
  /** What is loaded before it is asked for; see the page about warming in `@wattle/cache`. */
  readonly warming?: readonly WarmingJob[]
  /** What is likely to be read after an entry, by kind; warmed when the entry is hot. */
  readonly related?: HotKeysOptions['related']
  /** What to load in the place of an entry that was hot: the same of today, where the day is part of the key. */
  readonly renew?: (entry: Warm) => Warm
  /** Of the audit: what differs from its defaults, one load a second in the whole fleet. */
  readonly audit?: Omit<AuditOptions, 'cache'>
}

/** What looks after the cache of a service. */
export type CacheCare = {
  readonly budget: Budget
  readonly audit: Audit
  readonly hotKeys: HotKeys
  readonly warming: Warming
  /** What is wrong with the memory of the shared Redis, in sentences. */
  readonly budgetProblems: () => readonly string[]
}

const mostPredicted = 500

/**
 * Looks after the cache of a service from now on: keeps to its budget, checks that Redis has room for all budgets,
 * compares entries with the database, counts hot keys, warms; has operators see and steer it. Call it in `main.ts`, once
 * the app is built and before it listens. Nothing of it stops the service, or keeps it from stopping, when Redis or
 * the database is away.
 *
 * Throws when the service has no line in `cacheBudgets`.
 */
export function careFor(app: FastifyInstance, options: CareOptions): CacheCare {
  const { cache, onClose, related, renew = (entry) => entry } = options
  const { name, registry } = app.service
  const budget = keepBudget({ cache, bytes: cacheBudgetOf(name) })
  const budgets = watchBudgets({ cache, log: app.log, registry })
  const audit = auditCache({ cache, ...options.audit })
  const hotKeys = trackHotKeys({ cache, ...(related ? { related } : {}) })
  const hottest: WarmingJob = {
    name: 'hottest',
    priority: 'high',
    find: async () => (await hotKeys.predict(mostPredicted)).map(renew),
  }
  const warming = createWarming({ cache, jobs: [hottest, ...(options.warming ?? [])] })

  const care: CacheCare = { budget, audit, hotKeys, warming, budgetProblems: budgets.problems }
  addCareRoutes(app, care)
  for (const part of [budget, audit, hotKeys, warming]) part.start()
  onClose('cache care', async () => {
    budgets.stop()
    // Not waited for: a round of the audit takes seconds, and leaves nothing half done.
    void audit.stop()
    await Promise.all([budget.stop(), hotKeys.stop(), warming.close()])
  })
  return care
}
