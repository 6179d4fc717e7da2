import { describe, expect, test } from 'vitest'
import { check, violationsIn, type Invariant } from './checker.ts'
import type { History } from './history.ts'
import { calm, history, phase, type OneRead } from './made-up-history.ts'
import { formatNines, nines } from './nines.ts'

const broken = (of: History) =>
  Object.entries(check(of).violations).flatMap(([name, count]) => (count > 0 ? [name] : []))
const found = (reads: OneRead[], more?: Partial<History>) => broken(history(reads, more))
const only = (...names: Invariant[]) => names

describe('C12 what the checker finds', () => {
  test('a clean history has no violation', () => {
    const clean = history([
      { at: 500, version: 1 },
      { at: 1_005, version: 1 },
      { at: 1_020, version: 2 },
      { at: 1_100, version: 1, process: 2, origin: 'l1' },
    ])
    expect(violationsIn(check(clean))).toBe(0)
  })

  test('a read of L2 that starts after the invalidation was applied is not older', () => {
    expect(found([{ at: 1_011, version: 1 }])).toEqual(only('bound'))
    expect(found([{ at: 1_009, version: 1 }])).toEqual([])
  })

  test('L1, and a flight that was joined, may lag by the trust window and no longer', () => {
    expect(found([{ at: 1_900, version: 1, origin: 'l1' }])).toEqual([])
    expect(found([{ at: 1_900, version: 1, alone: false }])).toEqual([])
    expect(found([{ at: 2_011, version: 1, origin: 'l1' }])).toEqual(only('bound'))
    expect(found([{ at: 2_011, version: 1, alone: false }])).toEqual(only('bound'))
  })

  test('who invalidated sees its own write, whatever tier answers', () => {
    const own = { at: 1_011, version: 1, process: 0, origin: 'l1' } as const
    expect(found([own])).toEqual(only('own'))
    const invalidations = [
      { process: 0, row: 0, version: 2, outcome: 'deferred', atMs: 1_010 } as const,
    ]
    expect(found([own], { invalidations })).toEqual(only('own'))
  })

  test('a deferred invalidation binds other processes only after healing', () => {
    const invalidations = [
      { process: 0, row: 0, version: 2, outcome: 'deferred', atMs: 1_010 } as const,
    ]
    const phases = [phase('away', 0, { healedMs: 3_000 })]
    expect(found([{ at: 7_999, version: 1 }], { invalidations, phases })).toEqual([])
    expect(found([{ at: 8_001, version: 1 }], { invalidations, phases })).toEqual(only('bound'))
  })

  test('where the tag moves with the value an invalidation covers the values that had its tag', () => {
    const rows = [{ kind: 'strict', strict: true, tagsInTurn: 4 }]
    const commits = [2, 3].map((version) => ({ row: 0, version, atMs: 1_000 + version }))
    const third = { process: 0, row: 0, version: 3, outcome: 'applied', atMs: 1_010 } as const
    const world = { rows, commits, invalidations: [third] }
    expect(found([{ at: 1_020, version: 1 }], world)).toEqual([])
    expect(found([{ at: 1_020, version: 2 }], world)).toEqual(only('bound'))
    const both = { ...world, invalidations: [third, { ...third, version: 2, atMs: 1_030 }] }
    expect(found([{ at: 1_020, version: 1 }], both)).toEqual([])
    expect(found([{ at: 1_031, version: 1 }], both)).toEqual(only('bound'))
  })

  test('a failover may forget for ordinary kinds until it is repaired, for strict ones never', () => {
    const bounds = { ...calm, repairOrdinaryMs: 2_000 }
    const phases = [phase('failover', 900, { healedMs: 4_000, bounds })]
    const ordinary = {
      phases,
      commits: [{ row: 1, version: 2, atMs: 1_000 }],
      invalidations: [{ process: 0, row: 1, version: 2, outcome: 'applied', atMs: 1_010 } as const],
    }
    expect(found([{ at: 5_900, version: 1, row: 1 }], ordinary)).toEqual([])
    expect(found([{ at: 6_100, version: 1, row: 1 }], ordinary)).toEqual(only('bound'))
    expect(found([{ at: 5_900, version: 1 }], { phases })).toEqual(only('bound'))
  })

  test('what was applied just before a fault counts as in the tail that the failover loses', () => {
    const bounds = { ...calm, repairOrdinaryMs: 2_000 }
    const phases = [
      phase('calm', 0, { toMs: 1_200 }),
      phase('failover', 1_200, { healedMs: 4_000, bounds }),
    ]
    const invalidations = [
      { process: 0, row: 1, version: 2, outcome: 'applied', atMs: 1_010 } as const,
    ]
    const commits = [{ row: 1, version: 2, atMs: 1_000 }]
    expect(found([{ at: 4_500, version: 1, row: 1 }], { phases, invalidations, commits })).toEqual(
      [],
    )
  })

  test('a commit whose process died is owed from the bound of the outbox on', () => {
    const withOutbox = [phase('killed', 0, { bounds: { ...calm, lostWriterMs: 2_000 } })]
    const lost = { invalidations: [], phases: withOutbox }
    expect(found([{ at: 2_900, version: 1 }], lost)).toEqual([])
    expect(found([{ at: 3_001, version: 1 }], lost)).toEqual(only('bound'))
    expect(found([{ at: 3_001, version: 1 }], { invalidations: [] })).toEqual([])
  })

  test('a read with a token is never older than the write', () => {
    expect(found([{ at: 1_005, version: 1, token: 2 }])).toEqual(only('token'))
    expect(found([{ at: 1_005, version: 2, token: 2 }])).toEqual([])
  })

  test('what a process reads of a key does not go back behind what was invalidated before it read it', () => {
    const back = [
      { at: 1_012, version: 2, origin: 'source' },
      { at: 1_100, version: 1, origin: 'l1' },
    ] as const
    expect(found([...back])).toEqual(only('back'))
    expect(found([back[0], { ...back[1], process: 2 }])).toEqual([])
    expect(found([back[0], { ...back[1], at: 1_005 }])).toEqual([])
    // It looked past the caches between the commit and the invalidation.
    expect(found([{ ...back[0], at: 1_002 }, back[1]])).toEqual([])
    const overlapping = [{ ...back[0], took: 200 }, back[1]]
    expect(found(overlapping)).toEqual([])
  })

  test('going back where a failover forgets is counted, not condemned', () => {
    const bounds = { ...calm, repairOrdinaryMs: 2_000 }
    const phases = [phase('failover', 900, { healedMs: 4_000, bounds })]
    const report = check(
      history(
        [
          { at: 1_500, version: 2, row: 1, origin: 'source' },
          { at: 4_100, version: 1, row: 1 },
        ],
        {
          phases,
          commits: [{ row: 1, version: 2, atMs: 1_000 }],
          invalidations: [{ process: 0, row: 1, version: 2, outcome: 'applied', atMs: 1_010 }],
        },
      ),
    )
    expect(violationsIn(report)).toBe(0)
    expect(report.phases[0]?.wentBack).toBe(1)
  })

  test('the first read after a thaw is not from L1', () => {
    const phases = [phase('frozen', 0, { thawed: [{ process: 1, atMs: 5_000 }] })]
    const first = { at: 5_001, version: 2 }
    expect(found([{ ...first, origin: 'l1' }], { phases })).toEqual(only('frozen'))
    expect(found([first, { at: 5_002, version: 2, origin: 'l1' }], { phases })).toEqual([])
  })

  test('tiers that still differ, hanging calls, ended clients and load that stays', () => {
    const audit = { agreedAfterMs: undefined, differing: ['strict 0 in process 1: 1, not 2'] }
    expect(found([], { phases: [phase('failover', 0, { audit })] })).toEqual(only('agree'))
    const late = [{ process: 1, what: 'get', ms: 2_600, atMs: 100 }]
    expect(found([], { late })).toEqual(only('settle'))
    const ended = [{ process: 1, what: 'the client ended', atMs: 100 }]
    expect(found([], { broken: ended })).toEqual(only('alive'))
    const load = {
      before: { loads: 400, writes: 100 },
      after: { loads: 2_300, writes: 100 },
    }
    expect(found([], { phases: [phase('failover', 0, { load })] })).toEqual(only('load'))
    const same = { before: load.before, after: { loads: 900, writes: 100 } }
    expect(found([], { phases: [phase('failover', 0, { load: same })] })).toEqual([])
  })

  test('an example tells the seed of a search: who read what, from where, when, and what was owed', () => {
    const { examples } = check(history([{ at: 1_511, version: 1 }]))
    expect(examples[0]?.what).toMatch(
      /process 1 read strict 0 at version 1 from l2 1511 ms into calm .* 511 ms stale, applied by process 0 501 ms before; 2 was owed/,
    )
  })
})

describe('C12 how staleness is counted', () => {
  test('the age is the start of the read less the commit of the first newer version', () => {
    const report = check(
      history(
        [
          { at: 1_030, version: 1, origin: 'l1' },
          { at: 1_260, version: 1, origin: 'l1' },
          { at: 1_260, version: 2, process: 3, origin: 'l1' },
        ],
        {
          commits: [
            { row: 0, version: 2, atMs: 1_000 },
            { row: 0, version: 3, atMs: 1_200 },
          ],
        },
      ),
    )
    expect(report.phases[0]).toMatchObject({ reads: 3, stale: [2, 1, 0, 0, 0], oldestMs: 260 })
  })

  test('without a stale read the number of reads bounds the nines', () => {
    expect(formatNines(nines(0, 3_000_000))).toBe('>= 6.0')
    expect(formatNines(nines(3, 3_000))).toBe('3.0')
    expect(nines(0, 0)).toEqual({ value: 0, isBound: true })
    expect(nines(0, 1).value).toBe(0)
  })
})
