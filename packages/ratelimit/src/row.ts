import type { Policy } from './policy.ts'

/** What a call does at one level; a row of `decide.lua`. */
export type Step = {
  /** Units that must be there. */
  readonly need: number
  /** Units to charge: `need`, nothing (0), as many as there are up to more than `need`, or below 0 to give back. */
  readonly most: number
  /** Units that must stay for others. */
  readonly reserve?: number
  /** Server time in µs of the charge that is given back. */
  readonly chargedAtUs?: number
}

/** A row as text. The two fields that change belong to the batch that is being written: see `decider.ts`. */
export type Row = {
  readonly policy: Policy
  readonly step: Step
  readonly args: readonly string[]
  batch: number
  index: number
}

/** The row of a policy and a step, which is kept where it will be used again. */
export function rowOf(policy: Policy, step: Step): Row {
  const { algorithm, limit, windowMs, capacity } = policy
  const { need, most, reserve = 0, chargedAtUs = 0 } = step
  const numbers = [limit, windowMs * 1000, capacity, need, most, reserve, chargedAtUs]
  return { policy, step, args: [algorithm, ...numbers.map(String)], batch: 0, index: 0 }
}
