/** One line of a report: what one variant did in one group. */
export type Row = {
  /** What was measured, such as `L2 hit, 1 KB, 256 at once`. Rows of a group are compared with one another. */
  group: string
  /** Who did it, such as `wattle` or `ioredis GET, auto-pipelined`. */
  variant: string
  ours: boolean
  /** Unit of `value`, such as `ops/s`, `ms`, `bytes`, `loads`. */
  unit: string
  /** The median over the rounds. NaN when it could not be measured; `note` then says why. */
  value: number
  /** The lowest and the highest round. */
  spread: readonly [low: number, high: number]
  /** `value` as a multiple of the group's floor: the median of the ratios of each round. */
  ratio?: number | undefined
  /**
   * Microseconds of processor time for an operation, in the process that does it; the median. It hardly moves where a
   * machine is busy with other things, and says nothing of what waits.
   */
  cpuUs?: number | undefined
  /** The same of the server that it asks. */
  serverCpuUs?: number | undefined
  /** What this variant is to reach. */
  goal?: Goal | undefined
  note?: string | undefined
}

/** A bound on a row's ratio or value. */
export type Goal = {
  of: 'ratio' | 'value'
  atLeast?: number
  atMost?: number
}

/** Whether a row reaches its goal; undefined for a row without one. */
export function reached({ goal, ratio, value }: Row): boolean | undefined {
  if (!goal) return undefined
  const figure = goal.of === 'ratio' ? ratio : value
  if (figure === undefined || Number.isNaN(figure)) return false
  return figure >= (goal.atLeast ?? -Infinity) && figure <= (goal.atMost ?? Infinity)
}

/** The middle of the values, the mean of the two middle ones where their number is even. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** The value below which a share of the values lies, `share` from 0 to 1. NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

/** A row from one figure a round. */
export function rowOf(
  of: Omit<Row, 'value' | 'spread' | 'ours'> & { ours?: boolean; rounds: readonly number[] },
): Row {
  const { rounds, ours = false, ...row } = of
  const spread = [Math.min(...rounds), Math.max(...rounds)] as const
  return { ...row, ours, value: median(rounds), spread }
}

/** A row for what could not be measured. */
export function failedRow(
  of: Pick<Row, 'group' | 'variant' | 'unit' | 'goal'> & { ours?: boolean },
  cause: unknown,
): Row {
  const note = cause instanceof Error ? cause.message : String(cause)
  const none = [Number.NaN, Number.NaN] as const
  return { ...of, ours: of.ours ?? false, value: Number.NaN, spread: none, note }
}
