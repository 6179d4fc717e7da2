import { decodeCursor as decode, encodeCursor as encode, isTimestamp } from '@wattle/service'
import type { Day } from './calendar.ts'

/** The last bill of a page: the next page begins after it. */
export type Position = { readonly dueDate: Day; readonly id: string }

/** See `encodeCursor` of the service kit. */
export function encodeCursor({ dueDate, id }: Position, scope: unknown): string {
  return encode([dueDate, id], scope)
}

/** Reads it back. Throws VALIDATION_FAILED that names `cursor` unless encodeCursor wrote it for the same scope. */
export function decodeCursor(cursor: string, scope: unknown): Position {
  const [dueDate, id] = decode(
    cursor,
    scope,
    ([day, bill]) => isTimestamp(`${day}T00:00:00.000Z`) && /^bil_[0-9a-f-]{36}$/.test(bill),
  )
  return { dueDate, id }
}
