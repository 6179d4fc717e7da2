import { check, violationsIn, type Report } from './checker.ts'
import { openArena, type ArenaOptions } from './arena.ts'
import type { Fault } from './fault.ts'

export type SuiteOptions = Omit<ArenaOptions, 'modules'> & {
  faults: readonly Fault[]
  /** Load between the healing of a fault and the audit. */
  calmMs: number
  modules?: ArenaOptions['modules']
  /** Asked before each fault but the first, whether to go on. */
  while?: () => boolean
  /** End after the first phase that broke a promise. */
  stopAtFirst?: boolean
}

/** The sources of this repository. */
const own = {
  cache: new URL('../../src/index.ts', import.meta.url).href,
  redis: import.meta.resolve('@wattle/redis'),
}

/** Puts the faults to a group of processes and holds what they did against the guarantee. */
export async function runSuite({
  faults,
  calmMs,
  modules = own,
  while: goOn = () => true,
  stopAtFirst = false,
  ...options
}: SuiteOptions): Promise<Report> {
  await using arena = await openArena({ ...options, modules })
  for (const [index, fault] of faults.entries()) {
    if (index > 0 && !goOn()) break
    await arena.phase(fault, { calmMs })
    options.say(fault.name)
    if (stopAtFirst && violationsIn(check(await arena.finish())) > 0) break
  }
  return check(await arena.finish())
}
