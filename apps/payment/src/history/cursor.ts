import { createHash } from 'node:crypto'
import { AppError } from '@wattle/contracts'

/** The last payment of a page: the next page begins after it. */
export type Position = { readonly createdAt: string; readonly id: string }

/**
 * Writes a position as an opaque text. It carries a check over `scope` (whose list, with which filters), so that it is
 * refused on another list and when it was changed; it is no secret and gives no access.
 */
export function encodeCursor({ createdAt, id }: Position, scope: unknown): string {
  const check = createHash('sha256').update(JSON.stringify([createdAt, id, scope]))
  const text = `${createdAt} ${id} ${check.digest('base64url').slice(0, 16)}`
  return Buffer.from(text).toString('base64url')
}

/** Reads it back. Throws VALIDATION_FAILED that names `cursor` unless encodeCursor wrote it for the same scope. */
export function decodeCursor(cursor: string, scope: unknown): Position {
  const [createdAt = '', id = ''] = Buffer.from(cursor, 'base64url').toString('utf8').split(' ')
  const position = { createdAt, id }
  // Comparing the whole text refuses other spellings of the same bytes too.
  if (encodeCursor(position, scope) === cursor) return position
  const problem = 'is not the nextCursor of a page with the same filters; begin without it'
  throw new AppError('VALIDATION_FAILED', `query.cursor ${problem}.`, {
    fields: [{ in: 'query', field: 'cursor', problem }],
  })
}
