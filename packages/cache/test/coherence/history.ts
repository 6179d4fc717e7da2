import type { Facts } from './features/facts.ts'

/**
 * What a run leaves behind, in times of one clock (milliseconds since the epoch, with fractions). Versions of a row
 * count from 1 and have no gaps, so "older" is "smaller".
 */
export type History = {
  rows: readonly RowFacts[]
  commits: readonly Commit[]
  invalidations: readonly Invalidation[]
  reads: readonly ReadBatch[]
  phases: readonly Phase[]
  /** Calls that took longer than a call may, with the time that their process was frozen already taken off. */
  late: readonly { process: number; what: string; ms: number; atMs: number }[]
  /** Clients that gave up for good, and errors that no caller caught. */
  broken: readonly { process: number; what: string; atMs: number }[]
  /** Where features were on. */
  facts?: Facts
}

/**
 * How one row of the source is cached. Where its tag moves with its value, an invalidation names the tag of one former
 * value only: that of version v covers the versions that are congruent to v − 1 modulo `tagsInTurn` (1 for all others).
 */
export type RowFacts = {
  kind: string
  strict: boolean
  tagsInTurn: number
  /** It is written behind: what is read and put are values without an order, until `inOrderOfAcceptance` finds it. */
  behind?: boolean
}

/** A version became the present one in the source. Version 1 needs none: it was there from the beginning. */
export type Commit = { row: number; version: number; atMs: number }

/** `process` called `invalidate` after it had committed `version`, and the call resolved at `atMs`. */
export type Invalidation = {
  process: number
  row: number
  version: number
  outcome: 'applied' | 'deferred'
  atMs: number
}

/** What answered a read: a tier; the source, without the cache being asked; or a call that does not say. */
export const origins = ['l1', 'l2', 'source', 'bypass', 'unknown'] as const
export type Origin = (typeof origins)[number]

/** Many reads of one process as columns: a run has millions. */
export type ReadBatch = {
  process: number
  row: Int32Array
  version: Int32Array
  startMs: Float64Array
  endMs: Float64Array
  /** Index in `origins`. */
  origin: Uint8Array
  /** 1 when no other read of the row was under way in the process, so that it joined nobody's flight. */
  alone: Uint8Array
  /** The version that the consistency token given to the read stands for; 0 without a token. */
  token: Int32Array
}

/** A stretch of the run: a fault, its healing, and the calm until the next phase. */
export type Phase = {
  name: string
  fromMs: number
  healedMs: number
  toMs: number
  bounds: Bounds
  /** Processes that were stopped and continued. */
  thawed: readonly { process: number; atMs: number }[]
  /** In the first calm, and when the processes had settled after the fault. */
  load: { before: Load; after: Load } | undefined
  audit: Audit
}

/** What all processes did during one second. Each write makes loads necessary, so their ratio is what is watched. */
export type Load = { loads: number; writes: number }

/** With nobody writing: how long until every tier of every process agreed with the source. */
export type Audit = {
  agreedAfterMs: number | undefined
  differing: readonly string[]
}

/** What the guarantee says about reads that start after an invalidation was applied, in one phase. */
export type Bounds = {
  /** A value that left L1 or a flight that was joined may be read for so long: the trust window, with slack. */
  lagMs: number
  /**
   * Where a failover loses the tail of the old master: invalidations around the fault bind at the latest so long
   * after it has healed. Strict kinds have such a bound only where two masters lived at once.
   */
  repairOrdinaryMs?: number
  repairStrictMs?: number
  /** A deferred invalidation binds other processes so long after healing. */
  deferredMs: number
  /** A commit whose process died before it invalidated binds so long after; without it the TTL is all there is. */
  lostWriterMs?: number
  /** A failover of the `state` group, which may lose who has a lock. */
  stateForgets?: boolean
}
