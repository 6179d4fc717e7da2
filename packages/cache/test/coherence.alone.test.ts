import { beforeAll, describe, expect, test } from 'vitest'
import { invariants, type Invariant, type Report } from './coherence/checker.ts'
import { faultNamed } from './coherence/faults.ts'
import { features } from './coherence/features/names.ts'
import { formatActivity, formatNinesTable, formatViolations } from './coherence/format.ts'
import { runSuite } from './coherence/suite.ts'

const seed = Number(process.env['WATTLE_SEED'] ?? Date.now() % 1_000_000)

/**
 * One run for all of it: every feature is on, so each promise is one that holds beside write-behind, budget, hot keys,
 * warming, adaptive TTL, audit, wrappers and locks. (The mutants of `mutants.alone.test.ts` run without features.)
 */
describe(`C5 C12 C16 C17 C20 C21 C22 C25 coherence as several processes see it, while subscribers, processes and masters fail, with every feature on (WATTLE_SEED=${seed})`, () => {
  let report: Report
  beforeAll(async () => {
    report = await runSuite({
      seed,
      processes: 3,
      writesPerSecond: 30,
      calmMs: 1_500,
      features,
      say: () => {},
      // Failovers between faults that need none: Sentinels take some seconds to be ready for the next.
      faults: [
        'calm',
        'replication cut, host lost',
        'subscribers killed',
        'subscriber silent',
        'master killed',
        'messages dropped',
        'process frozen',
        'operator failover',
        'killed at any moment',
        'out of memory',
        'flushall',
        'state master killed',
      ].map(faultNamed),
    })
    console.log([formatNinesTable([report]), ...formatActivity([report])].join('\n'))
  }, 240_000)

  test.each(Object.entries(invariants))('%s: %s', (name) => {
    expect(formatViolations(report, [name as Invariant]).join('\n')).toBe('')
  })
})
