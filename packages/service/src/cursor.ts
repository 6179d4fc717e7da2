import { createHash } from 'node:crypto'
import { AppError } from '@wattle/contracts'

/** The last row of a page, by what the list is sorted by and by its id: the next page begins after it. */
export type CursorPosition = readonly [sortedBy: string, id: string]

/**
 * Writes a position as an opaque text. It carries a check over `scope` (whose list, with which filters), so that it is
 * refused on another list and when it was changed. It is no secret and gives no access: anybody can compute one.
 */
export function encodeCursor([sortedBy, id]: CursorPosition, scope: unknown): string {
  const check = createHash('sha256').update(JSON.stringify([sortedBy, id, scope]))
  const text = `${sortedBy} ${id} ${check.digest('base64url').slice(0, 16)}`
  return Buffer.from(text).toString('base64url')
}

/**
 * Reads it back. Throws VALIDATION_FAILED that names `cursor` unless encodeCursor wrote it for the same scope and
 * `isPosition` takes both parts, which must refuse all that the database would.
 */
export function decodeCursor(
  cursor: string,
  scope: unknown,
  isPosition: (position: CursorPosition) => boolean,
): CursorPosition {
  const [sortedBy = '', id = ''] = Buffer.from(cursor, 'base64url').toString('utf8').split(' ')
  const position = [sortedBy, id] as const
  // Comparing the whole text refuses other spellings of the same bytes too.
  if (isPosition(position) && encodeCursor(position, scope) === cursor) return position
  const problem = 'is not the nextCursor of a page with the same filters; begin without it'
  throw new AppError('VALIDATION_FAILED', `query.cursor ${problem}.`, {
    fields: [{ in: 'query', field: 'cursor', problem }],
  })
}

/** Whether the text is a time as `Date` writes it, in the years that PostgreSQL and `Date` share. */
export function isTimestamp(text: string): boolean {
  const ms = Date.parse(text)
  return /^\d{4}-/.test(text) && !Number.isNaN(ms) && new Date(ms).toISOString() === text
}
