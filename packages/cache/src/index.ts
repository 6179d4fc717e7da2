export { createCache, type Cache } from './cache.ts'
export type { CacheOptions } from './cache-options.ts'
export type { CounterKind } from './counter.ts'
export type { Duration } from './duration.ts'
export type { Invalidation } from './invalidation.ts'
export type { CallOptions, Kind } from './kind.ts'
export type { Key } from './kind-name.ts'
export { LoadTimeoutError } from './loads.ts'
export { createOutbox, outboxMigration, type Outbox, type SqlQuery } from './outbox.ts'
export type { ReadOutcome, ReadStatus, ReadTier } from './outcome.ts'
export type { KindPlan, LoadedKind } from './plan.ts'
export type { KindOptions } from './policy.ts'
export { everything, tag, type Ref, type TagMode } from './refs.ts'
export type { Rules, RuleTable } from './rules.ts'
export type { KindStatistics } from './statistics.ts'
export { LockHeldError, LockLostError, LockUnavailableError } from './locks/errors.ts'
export {
  createLocks,
  type Lock,
  type LockOptions,
  type Locks,
  type LocksDependencies,
} from './locks/locks.ts'
export type { HeldWork } from './locks/work-within.ts'
export {
  cacheable,
  type CacheableFunction,
  type CacheableOptions,
  type KeyOption,
} from './wrappers/cacheable.ts'
export { Cacheable, CacheEvict } from './wrappers/decorators.ts'
export { evicts, type EvictsOptions } from './wrappers/evicts.ts'
export { auditCache, type Audit, type AuditOptions } from './audit.ts'
export type { AuditReport, Finding } from './audit-report.ts'
export { warm, type Warm } from './warm.ts'
export { createWarming, type Warming, type WarmingJob, type WarmingStatus } from './warming.ts'
export type { WarmingRun } from './warming-run.ts'
export {
  trackHotKeys,
  type HotKey,
  type HotKeys,
  type HotKeysList,
  type HotKeysOptions,
} from './hot-keys.ts'
export type { AdaptiveOptions } from './adaptive.ts'
export type { Change as WriteBehindChange } from './write-behind/change.ts'
export type { Counts as WriteBehindCounts } from './write-behind/counts.ts'
export type { DeadLetter, DeadLetters } from './write-behind/dead-letters.ts'
export type {
  RetryOptions as WriteBehindRetry,
  Write as WriteBehindWrite,
} from './write-behind/delivery.ts'
export {
  looksLikeOutage,
  PendingUnknownError,
  WriteRefusedError,
  type RefusalReason,
} from './write-behind/errors.ts'
export type {
  Accepted as AcceptedWrite,
  Backlog as WriteBehindBacklog,
  WriteBehind,
  WriteBehindOptions,
} from './write-behind/options.ts'
export {
  checkBudgets,
  keepBudget,
  type Budget,
  type BudgetOptions,
  type BudgetUsage,
} from './budget.ts'
