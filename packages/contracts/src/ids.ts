import { Type } from 'typebox'
import { v7 as uuidv7 } from 'uuid'

/** What an id names, by its prefix: `usr_0190…` is a user. */
export type IdPrefix =
  | 'usr'
  | 'bil'
  | 'lin'
  | 'prv'
  | 'acc'
  | 'req'
  | 'tok'
  | 'pay'
  | 'ref'
  | 'evt'
  | 'ses'
  | 'fam'
  | 'sev'

/** An id: a three-letter type prefix, `_`, and a UUIDv7 in lower case. */
export type Id<P extends IdPrefix> = `${P}_${string}`

const uuidPattern = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'

/** A new id, ordered by time of creation. */
export function newId<P extends IdPrefix>(prefix: P): Id<P> {
  return `${prefix}_${uuidv7()}`
}

/** The schema of an id with this prefix. */
export function idSchema<P extends IdPrefix>(prefix: P) {
  return Type.Unsafe<Id<P>>(
    Type.String({
      pattern: `^${prefix}_${uuidPattern}$`,
      maxLength: 40,
      description: `An id of the form ${prefix}_<uuid>`,
    }),
  )
}
