import type { Accusation, Hold, Put } from './features/facts.ts'
import type { Feature } from './features/names.ts'
import type { History, Invalidation, Origin, ReadBatch } from './history.ts'

/** What a process of a run is told when it is started. */
export type WorkerSettings = {
  process: number
  seed: number
  redisUrl: string
  /** Of the `state` group, where a feature needs it. */
  stateUrl: string | undefined
  databaseUrl: string
  features: readonly Feature[]
  /** URLs of the index of both packages: those of this repository, or of a changed copy. */
  modules: { cache: string; redis: string }
  /** Ports of Redis nodes, and what to connect to instead. */
  ports: Readonly<Record<number, number>>
  /** It writes through the outbox of the cache. All sweep it. */
  outbox: boolean
  /** Added to what the process takes for the time of day. */
  skewMs: number
  /** Reads one row after another, without L1, and writes nothing: it sees what L2 answers. */
  auditor: boolean
  writesPerSecond: number
}

export type ToWorker =
  | { type: 'go' }
  /** Finish what is under way and start nothing; answered with `paused`. */
  | { type: 'pause' }
  /** Read every row once; answered with `audited`. */
  | { type: 'audit' }
  | { type: 'skew'; skewMs: number }
  /** Kill yourself after the next commit, before the invalidation. */
  | { type: 'die after a commit' }
  /** Kill yourself while the next put to a row that is written behind is under way. */
  | { type: 'die in a put' }
  | { type: 'token'; row: number; version: number; token: string }
  | { type: 'close' }

export type FromWorker =
  | { type: 'ready' }
  | { type: 'paused' }
  | { type: 'audited'; versions: number[]; origins: Origin[] }
  | { type: 'token'; row: number; version: number; token: string }
  | ({ type: 'batch' } & Batch)

export type Batch = {
  reads: ReadBatch
  invalidations: Invalidation[]
  late: History['late'][number][]
  broken: History['broken'][number][]
  /** Since the process began. */
  loads: number
  writes: number
  synchronized: boolean
  puts: Put[]
  holds: Hold[]
  accusations: Accusation[]
  /** Since the process began, by words of the features. */
  activity: Record<string, number>
}
