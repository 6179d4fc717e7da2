import { parseArgs } from 'node:util'
import { describeMachine } from './machine.ts'
import { markdownOf } from './report.ts'
import type { Row } from './row.ts'

/** What the command line says to a suite. A suite may ignore what means nothing to it. */
export type SuiteOptions = {
  rounds: number
  /** How long one batch of one variant takes. */
  batchMs: number
  /** Fewer and smaller, to see that it works. */
  quick: boolean
  /** Only groups whose name contains one of these words; empty for all. */
  groups: readonly string[]
  /** A recorded trace of references, for hit ratios. */
  trace?: string | undefined
  say(line: string): void
}

export type Suite = (options?: SuiteOptions) => Promise<Row[]>

/** The options that every suite understands, as `node:util` parses them. */
export const optionTable = {
  rounds: { type: 'string' },
  quick: { type: 'boolean', default: false },
  group: { type: 'string', multiple: true, default: [] as string[] },
  trace: { type: 'string' },
} as const

/** Makes suite options of what was parsed. Throws one sentence for a wrong value. */
export function suiteOptions(values: {
  rounds?: string | undefined
  quick?: boolean
  group?: string[]
  trace?: string | undefined
}): SuiteOptions {
  const { quick = false, group = [], trace } = values
  const rounds = Number(values.rounds ?? (quick ? 3 : 9))
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds takes a whole number from 1, not "${values.rounds}".`)
  }
  const say = (line: string) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}`)
    else process.stderr.write(`${line}\n`)
  }
  return { rounds, quick, groups: group, trace, say, batchMs: quick ? 100 : 250 }
}

/** Whether a group was asked for. */
export const isWanted = ({ groups }: SuiteOptions, group: string): boolean =>
  groups.length === 0 || groups.some((word) => group.toLowerCase().includes(word.toLowerCase()))

/**
 * Runs a suite that was started by itself (`node infra/bench/suites/cache.ts --quick`), and prints its report. Does
 * nothing for a suite that was imported.
 */
export async function runAlone(meta: ImportMeta, name: string, suite: Suite): Promise<void> {
  if (!meta.main) return
  const { values } = parseArgs({ options: optionTable })
  const options = suiteOptions(values)
  const { rounds, quick } = options
  const [startedAt, machine] = [new Date(), describeMachine()]
  const rows = await suite(options)
  const tookMs = Date.now() - startedAt.getTime()
  console.log(markdownOf({ name, startedAt, tookMs, rounds, quick, machine, rows }))
}
