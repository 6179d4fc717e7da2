import { decodeCursor, encodeCursor, isTimestamp } from '@wattle/service'
import { describe, expect, test } from 'vitest'

const isPosition = ([at, id]: readonly [string, string]) => isTimestamp(at) && /^bil_\d$/.test(id)
const position = ['2026-11-21T10:00:00.000Z', 'bil_1'] as const

describe('a cursor', () => {
  test('comes back as it was written, for the same list only', () => {
    const cursor = encodeCursor(position, ['usr_1', 'open'])
    expect(decodeCursor(cursor, ['usr_1', 'open'], isPosition)).toEqual(position)
    expect(() => decodeCursor(cursor, ['usr_2', 'open'], isPosition)).toThrow('query.cursor')
  })

  test.each([
    ['nonsense', 'bil_1'],
    ['2026-02-30T10:00:00.000Z', 'bil_1'],
    ['2026-11-21', 'bil_1'],
    ['+010000-01-01T00:00:00.000Z', 'bil_1'],
    ['2026-11-21T10:00:00.000Z', 'bil_\0'],
  ])('with a right check but a position that no list has (%j, %j) is refused', (at, id) => {
    const forged = encodeCursor([at, id], 'scope')
    expect(() => decodeCursor(forged, 'scope', isPosition)).toThrow('query.cursor')
  })
})
