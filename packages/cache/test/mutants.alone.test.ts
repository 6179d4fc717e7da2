import { describe, expect, test } from 'vitest'
import type { Invariant } from './coherence/checker.ts'
import { faultNamed } from './coherence/faults.ts'
import { formatViolations } from './coherence/format.ts'
import { copyWith, type Edit } from './coherence/mutants.ts'
import { runSuite } from './coherence/suite.ts'

const shard = 'redis/channel/shard.ts'

/** Any fill is accepted: whoever stores last wins. */
const storeAnything: Edit = {
  file: 'cache/lua/fill.lua',
  from: `  local result = 1
  if holder ~= token and holder ~= token .. '!' then
    result = 0
`,
  to: `  local result = 1
  if true then
    result = 1
`,
}
/** Messages are applied as they come; what does not come is not missed. */
const ignoreNumbers: readonly Edit[] = [
  {
    file: shard,
    from: `      this.#early.add(number)
      this.distrust()
      this.look()
`,
    to: `      this.sequence = number
`,
  },
  {
    file: shard,
    from: `      for (const entry of (missed as string[]).toReversed()) this.#applyLogged(entry)
`,
    to: `      void missed
      this.sequence = Number(sequence)
`,
  },
]
/** A new history is noticed, and L1 dropped; what it may lack is not announced again, and its old entries are believed. */
const repairNothing: readonly Edit[] = [
  {
    file: shard,
    from: `      if (this.epoch !== epoch) this.#dirty = true
`,
    to: '',
  },
  {
    file: 'redis/channel/ring.ts',
    from: `filter((issue) => !issue.flying && issue.epoch !== epoch)`,
    to: `filter((issue) => !issue.flying && issue.epoch === undefined)`,
  },
  {
    file: 'cache/flight.ts',
    from: `      (this.#exactly && entry.epoch !== this.shard.epoch)
`,
    to: `      false
`,
  },
]

const mutants = [
  {
    name: 'DEL and PUBLISH',
    edits: [storeAnything, ...ignoreNumbers, ...repairNothing],
    fault: 'messages dropped',
  },
  {
    name: 'lease only',
    edits: [...ignoreNumbers, ...repairNothing],
    fault: 'messages dropped',
  },
  {
    name: 'sequence without repair',
    edits: repairNothing,
    fault: 'replication cut, host lost',
  },
] as const satisfies { name: string; edits: readonly Edit[]; fault: string }[]

/** The promises about staleness, of which each of them breaks at least one. */
const stale = ['bound', 'own', 'token', 'back', 'agree'] as const satisfies Invariant[]

const seed = Number(process.env['WATTLE_SEED'] ?? Date.now() % 1_000_000)

/** The shortest run that shows it; it is repeated with further seeds, since chance has a part in it. */
async function run(edits: readonly Edit[], name: string, faults: string[], attempt = 0) {
  using copy = copyWith(name, edits)
  return await runSuite({
    seed: seed + attempt,
    processes: 3,
    writesPerSecond: 30,
    calmMs: 500,
    modules: copy.modules,
    stopAtFirst: true,
    say: () => {},
    // What is lost must have been there before.
    faults: ['calm', ...faults.filter((fault) => fault !== 'calm')].map(faultNamed),
  })
}

describe(`C12 the coherence run can fail (WATTLE_SEED=${seed})`, () => {
  test('the sources as they are, copied: no promise is broken', async () => {
    const report = await run([], 'none', [...new Set(mutants.map(({ fault }) => fault))])
    expect(formatViolations(report).join('\n')).toBe('')
  }, 120_000)

  test.each(mutants)(
    '$name: stale reads are found',
    async ({ name, edits, fault }) => {
      for (let attempt = 0; attempt < 10; attempt++) {
        const report = await run(edits, name, [fault], attempt)
        if (stale.some((invariant) => report.violations[invariant] > 0)) return
      }
      expect.unreachable(`${name} was not found in ten runs of "${fault}"`)
    },
    240_000,
  )

  test('a mutant whose text is gone from the sources says so', () => {
    const gone = { ...storeAnything, from: 'a text that stands nowhere' }
    expect(() => copyWith('gone', [gone])).toThrow(/replaces a text that stands 0 times/)
    const twice = { ...storeAnything, from: 'local' }
    expect(() => copyWith('twice', [twice])).toThrow(/not once/)
    expect(() => copyWith('nowhere', [{ ...gone, file: 'cache/none.ts' }])).toThrow(/not there/)
  })
})
