import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'

/** What a figure depends on beside the code: it is printed with every report. */
export type Machine = {
  processor: string
  cores: number
  memoryGiB: number
  system: string
  node: string
  /** Load average of the last minute when the benchmark began. Above the number of cores figures are doubtful. */
  loadBefore: number
  commit: string
}

/** The machine, and the commit of the working tree (with `+` where it has changes). */
export function describeMachine(): Machine {
  return {
    processor: cpus()[0]?.model.trim() || 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.versions.node,
    loadBefore: loadavg()[0] ?? Number.NaN,
    commit: commit(),
  }
}

function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') === '' ? '' : '+'}`
  } catch {
    return 'unknown'
  }
}
