import { decodeCursor as decode, encodeCursor as encode, isTimestamp } from '@wattle/service'

/** The last payment of a page: the next page begins after it. */
export type Position = { readonly createdAt: string; readonly id: string }

/** See `encodeCursor` of the service kit. */
export function encodeCursor({ createdAt, id }: Position, scope: unknown): string {
  return encode([createdAt, id], scope)
}

/** Reads it back. Throws VALIDATION_FAILED that names `cursor` unless encodeCursor wrote it for the same scope. */
export function decodeCursor(cursor: string, scope: unknown): Position {
  const [createdAt, id] = decode(
    cursor,
    scope,
    ([time, payment]) => isTimestamp(time) && /^pay_[0-9a-f-]{36}$/.test(payment),
  )
  return { createdAt, id }
}
