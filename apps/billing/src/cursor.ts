import { createHash } from 'node:crypto'
import { AppError } from '@wattle/contracts'
import type { Day } from './calendar.ts'

/** The last bill of a page: the next page begins after it. */
export type Position = { readonly dueDate: Day; readonly id: string }

/**
 * Writes a position as an opaque text. It carries a check over `scope` (whose list, with which filters), so that it is
 * refused on another list and when it was changed; it is no secret and gives no access.
 */
export function encodeCursor(position: Position, scope: unknown): string {
  const { dueDate, id } = position
  return Buffer.from(`${dueDate} ${id} ${checkOf(position, scope)}`).toString('base64url')
}

/** Reads it back. Throws VALIDATION_FAILED that names `cursor` unless encodeCursor wrote it for the same scope. */
export function decodeCursor(cursor: string, scope: unknown): Position {
  const [dueDate = '', id = ''] = Buffer.from(cursor, 'base64url').toString('utf8').split(' ')
  const position = { dueDate, id }
  // Comparing the whole text refuses other spellings of the same bytes too.
  if (encodeCursor(position, scope) === cursor) return position
  const problem = 'is not the nextCursor of a page with the same filters; begin without it'
  throw new AppError('VALIDATION_FAILED', `query.cursor ${problem}.`, {
    fields: [{ in: 'query', field: 'cursor', problem }],
  })
}

function checkOf({ dueDate, id }: Position, scope: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([dueDate, id, scope]))
    .digest('base64url')
    .slice(0, 16)
}
