import { describe, expect, test } from 'vitest'
import { check, type Invariant } from '../checker.ts'
import { calm, history, phase, type OneRead } from '../made-up-history.ts'
import type { Facts, Hold, Put } from './facts.ts'

const nothing: Facts = {
  on: [],
  puts: [],
  deliveries: [],
  holds: [],
  fenced: [],
  accusations: [],
  missing: [],
  activity: {},
}

const rows = [
  { kind: 'strict', strict: true, tagsInTurn: 1 },
  { kind: 'behindStrict', strict: true, tagsInTurn: 1, behind: true },
]

/** Which promises are broken. Values of row 1 are written behind. */
function broken(facts: Partial<Facts>, reads: OneRead[] = [], phases = [phase('calm', 0)]) {
  const found = history(reads, { rows, phases, facts: { ...nothing, ...facts } })
  return Object.entries(check(found).violations).flatMap(([name, count]) =>
    count > 0 ? [name] : [],
  )
}
const only = (...names: Invariant[]) => names

/** Accepted as the `version`th; its value says nothing about the order. */
const put = (value: number, version: number, atMs: number): Put => ({
  process: 0,
  row: 1,
  value,
  version,
  outcome: 'applied',
  fromMs: atMs - 5,
  atMs,
})

const hold = (token: number, acquiredMs: number, endedMs: number, more: Partial<Hold> = {}) => ({
  process: token,
  row: 0,
  token,
  fromMs: acquiredMs - 5,
  acquiredMs,
  endedMs,
  kept: true,
  refused: false,
  ...more,
})

describe('C5 what the checker finds of write-behind', () => {
  const puts = [put(900, 11, 2_000), put(30, 12, 2_010)]

  test('from the moment a put resolved nobody reads what was accepted before it', () => {
    expect(broken({ puts }, [{ row: 1, at: 2_011, version: 30 }])).toEqual([])
    expect(broken({ puts }, [{ row: 1, at: 2_009, version: 900 }])).toEqual([])
    expect(broken({ puts }, [{ row: 1, at: 2_011, version: 900 }])).toEqual(only('bound'))
    expect(broken({ puts }, [{ row: 1, at: 2_009, version: 1 }])).toEqual(only('bound'))
    const own = { row: 1, at: 2_011, version: 900, process: 0, origin: 'l1' } as const
    expect(broken({ puts }, [own])).toEqual(only('own'))
    expect(broken({ puts }, [{ row: 1, at: 2_005, version: 900, token: 30 }])).toEqual(
      only('token'),
    )
  })

  test('a change whose put got no answer has its place from the source; one without a place says nothing', () => {
    const late = { row: 1, value: 77, version: 13, refused: false, atMs: 2_500 }
    const back = [
      { row: 1, at: 2_600, version: 77, origin: 'l2' },
      { row: 1, at: 2_700, version: 30, origin: 'l1' },
    ] as const
    expect(broken({ puts, deliveries: [late] }, [...back])).toEqual([])
    expect(broken({ puts: [...puts, put(77, 13, 2_550)] }, [...back])).toEqual(only('back'))
    expect(broken({ puts }, [{ row: 1, at: 5_000, version: 4_711 }])).toEqual([])
  })

  test('changes keep the order in which they were put, on their way to the source too', () => {
    expect(broken({ puts: [put(900, 12, 2_000), put(30, 11, 2_010)] })).toEqual(only('order'))
    const refused = { row: 1, value: 900, version: 11, refused: true, atMs: 2_500 }
    expect(broken({ puts, deliveries: [refused] })).toEqual(only('order'))
    const frozen = phase('frozen', 0, { thawed: [{ process: 0, atMs: 2_400 }] })
    expect(broken({ puts, deliveries: [refused] }, [], [frozen])).toEqual([])
  })
})

describe('C25 what the checker finds of locks', () => {
  test('a later holder has a greater token, and is not refused with it', () => {
    expect(broken({ holds: [hold(1, 100, 200), hold(2, 300, 400)] })).toEqual([])
    expect(broken({ holds: [hold(2, 100, 200), hold(1, 300, 400)] })).toEqual(only('order'))
    expect(broken({ holds: [hold(1, 100, 200, { refused: true })] })).toEqual(only('order'))
    expect(broken({ holds: [hold(1, 100, 200, { refused: true, kept: false })] })).toEqual([])
  })

  test('writes of two holds do not interleave at the source', () => {
    const [a, b] = [
      { row: 0, token: 7, holder: 'a' },
      { row: 0, token: 8, holder: 'b' },
    ]
    expect(broken({ fenced: [a, a, b, b] })).toEqual([])
    expect(broken({ fenced: [b, a] })).toEqual(only('order'))
    expect(broken({ fenced: [a, { ...b, token: 7 }, a] })).toEqual(only('order'))
  })

  test('two that were told that they held it to the end did not hold it together, but for a failover', () => {
    const holds = [hold(1, 100, 400), hold(2, 300, 500)]
    expect(broken({ holds })).toEqual(only('exclusive'))
    expect(broken({ holds: [hold(1, 100, 400, { kept: false }), hold(2, 300, 500)] })).toEqual([])
    const failover = phase('state master killed', 0, { bounds: { ...calm, stateForgets: true } })
    expect(broken({ holds }, [], [failover])).toEqual([])
  })
})

describe('C20 C22 what the checker finds of audit, budget, and features that did nothing', () => {
  test('the audit may accuse an entry until what was committed has been told and is due', () => {
    const accused = (tier: 'l1' | 'l2', atMs: number) => ({
      accusations: [{ process: 1, row: 0, tier, atMs }],
    })
    expect(broken(accused('l2', 1_200))).toEqual([])
    expect(broken(accused('l2', 1_500))).toEqual(only('audit'))
    expect(broken(accused('l1', 1_500))).toEqual([])
    expect(broken(accused('l1', 3_000))).toEqual(only('audit'))
  })

  test('keys of a neighbour that are gone, and a feature that has done nothing', () => {
    expect(broken({ missing: [{ keys: 3, atMs: 100 }] })).toEqual(only('neighbour'))
    expect(broken({ on: ['locks'] })).toEqual(only('active'))
    expect(broken({ on: ['locks'], activity: { holds: 1 } })).toEqual([])
  })
})
