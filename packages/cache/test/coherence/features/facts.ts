import type { Feature } from './names.ts'

/** A change that write-behind accepted. Until the run is over its value is a number that no other change has. */
export type Put = {
  process: number
  row: number
  value: number
  /** In the order of acceptance. */
  version: number
  outcome: 'applied' | 'deferred'
  fromMs: number
  atMs: number
}

/** A change as the source was given it; it refuses one that is older than what it has. */
export type Delivery = {
  row: number
  value: number
  version: number
  refused: boolean
  atMs: number
}

/** Work under a lock, from the call to the end of the work. */
export type Hold = {
  process: number
  row: number
  token: number
  fromMs: number
  acquiredMs: number
  endedMs: number
  /** The lock says that it was held until the end. */
  kept: boolean
  /** The source refused its token for a greater one. */
  refused: boolean
}

/** A write with a fencing token that the source took, in its order. `holder` is another one for each hold. */
export type Fenced = { row: number; token: number; holder: string }

/** What the audit took for wrong. */
export type Accusation = { process: number; row: number; tier: 'l1' | 'l2'; atMs: number }

/** Keys of another namespace on the same Redis that are gone after a fault that takes nothing away. */
export type Missing = { keys: number; atMs: number }

/** What a run with features leaves behind, beside its history. */
export type Facts = {
  on: readonly Feature[]
  puts: readonly Put[]
  deliveries: readonly Delivery[]
  holds: readonly Hold[]
  fenced: readonly Fenced[]
  accusations: readonly Accusation[]
  missing: readonly Missing[]
  /** What each feature did, by words of its own, and what was refused, by the name of the error. */
  activity: Readonly<Record<string, number>>
}
