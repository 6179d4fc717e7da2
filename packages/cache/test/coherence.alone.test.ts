import { describe, expect, test } from 'vitest'
import { violationsIn } from './coherence/checker.ts'
import { faultNamed } from './coherence/faults.ts'
import { formatNinesTable, formatViolations } from './coherence/format.ts'
import { runSuite } from './coherence/suite.ts'

const seed = Number(process.env['WATTLE_SEED'] ?? Date.now() % 1_000_000)

describe('C12 C22 coherence under faults, as several processes see it', () => {
  test(`no promise is broken while subscribers, processes and masters fail (WATTLE_SEED=${seed})`, async () => {
    const report = await runSuite({
      seed,
      processes: 3,
      writesPerSecond: 30,
      calmMs: 1_500,
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
        'out of memory',
        'flushall',
      ].map(faultNamed),
    })
    console.log(`seed ${seed}\n${formatNinesTable([report])}`)
    expect(formatViolations(report).join('\n')).toBe('')
    expect(violationsIn(report)).toBe(0)
  }, 180_000)
})
