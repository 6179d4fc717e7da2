import { failedRow, median, rowOf, type Goal, type Row } from './row.ts'

/**
 * Comparing speeds on a machine that has other things to do. A variant measured at nine and its rival at ten past nine
 * have met different machines, so variants take turns: in every round each runs one batch, in an order that rotates,
 * and a ratio is that of two batches of the same round. What is reported is the median over the rounds; a round that
 * something disturbed moves the spread and hardly the median. The size of a batch is found for each variant, so that
 * all batches take about the same time, and finding it warms the variant up.
 */

/** A variant that is ready to be measured. */
export type Running = {
  /** Performs the operation so many times; resolves with the milliseconds that it took. */
  run(times: number): Promise<number | Took>
  stop?(): Promise<void>
}

/** How long a batch took, and how much of the processor it used in its own process and in a server, in milliseconds. */
export type Took = { ms: number; cpuMs: number; serverCpuMs?: number }

export type Variant = {
  name: string
  ours?: boolean
  goal?: Goal | undefined
  /** The name of the variant that its ratio is to, instead of the floor. */
  against?: string
  /** Resolves with undefined where the variant has no such operation: it is then left out. */
  start(): Promise<Running | undefined>
}

export type SideBySide = {
  group: string
  variants: readonly Variant[]
  /** The name of the variant that ratios are to. */
  floor?: string
  rounds: number
  /** How long a batch is to take. */
  batchMs: number
  /** Operations that count for one turn of `run`; 100 for a call that reads 100 keys. Default 1. */
  unitsPerRun?: number
  /** Default `ops/s`. */
  unit?: string
  /** Called before each variant is started. */
  say?: (line: string) => void
}

/** Measures variants side by side, in operations a second. A variant that fails leaves a row that says so. */
export async function sideBySide(of: SideBySide): Promise<Row[]> {
  const { group, variants, floor, rounds, batchMs, unitsPerRun = 1, unit = 'ops/s' } = of
  const contenders: Contender[] = []
  const rows = new Map<Variant, Row>()
  const fail = (variant: Variant, cause: unknown) => {
    const { name, ours = false, goal } = variant
    rows.set(variant, failedRow({ group, variant: name, ours, unit, goal }, cause))
  }
  try {
    for (const variant of variants) {
      of.say?.(`${group}: ${variant.name}`)
      try {
        const running = await variant.start()
        if (!running) continue
        const contender = { variant, running, times: 1, rates: [], cpuUs: [], serverCpuUs: [] }
        contenders.push(contender)
        contender.times = await batchSize(running, batchMs)
      } catch (cause) {
        fail(variant, cause)
      }
    }
    const alive = () => contenders.filter(({ variant }) => !rows.has(variant))
    for (let round = 0; round < rounds; round++) {
      for (const contender of rotated(alive(), round)) {
        const { variant, running, times, rates, cpuUs, serverCpuUs } = contender
        try {
          const { ms, cpuMs, serverCpuMs } = took(await running.run(times))
          const units = times * unitsPerRun
          rates[round] = (units * 1000) / ms
          if (cpuMs !== undefined) cpuUs.push((cpuMs * 1000) / units)
          if (serverCpuMs !== undefined) serverCpuUs.push((serverCpuMs * 1000) / units)
        } catch (cause) {
          fail(variant, cause)
        }
      }
    }
    const finished = alive()
    for (const { variant, rates, cpuUs, serverCpuUs } of finished) {
      const { name, ours = false, goal, against = floor } = variant
      const base = finished.find((other) => other.variant.name === against)
      const common = { group, variant: name, ours, unit }
      const ratio =
        base && median(rates.map((rate, round) => rate / (base.rates[round] ?? Number.NaN)))
      rows.set(
        variant,
        rowOf({
          ...common,
          rounds: rates,
          ratio,
          goal,
          cpuUs: cpuUs.length > 0 ? median(cpuUs) : undefined,
          serverCpuUs: serverCpuUs.length > 0 ? median(serverCpuUs) : undefined,
        }),
      )
    }
  } finally {
    await Promise.allSettled(contenders.map(async ({ running }) => running.stop?.()))
  }
  return variants.flatMap((variant) => rows.get(variant) ?? [])
}

/** How many batches of work a variant does before it counts: the compiler needs about a second of it. */
const warmUpBatches = 5

type Contender = {
  variant: Variant
  running: Running
  times: number
  rates: number[]
  cpuUs: number[]
  serverCpuUs: number[]
}

const took = (result: number | Took): Partial<Took> & { ms: number } =>
  typeof result === 'number' ? { ms: result } : result

/** Doubles a batch until it is long enough to be measured, goes on until the variant is warm, and scales the batch. */
async function batchSize(running: Running, batchMs: number): Promise<number> {
  let times = 16
  let tookMs = 0
  let spentMs = 0
  while (spentMs < warmUpBatches * batchMs) {
    if (tookMs > 0 && tookMs < batchMs / 2) times *= tookMs < batchMs / 16 ? 8 : 2
    tookMs = took(await running.run(times)).ms
    spentMs += tookMs
  }
  return Math.max(1, Math.round((times * batchMs) / tookMs))
}

function rotated<T>(list: readonly T[], by: number): T[] {
  const start = list.length === 0 ? 0 : by % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}
