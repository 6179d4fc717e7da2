import { unpackKey, unpackValue, type Change, type Packed } from './change.ts'
import { wholeNumber } from '../number-option.ts'
import { entryOf, fieldsOf } from './journal.ts'
import type { Parts } from './parts.ts'

/** A change that the source refused, and why. */
export type DeadLetter<V> = Change<V> & {
  readonly id: string
  readonly cause: string
  readonly attempts: number
}

/** For operators. Every call rejects when Redis does not serve. */
export type DeadLetters<V> = {
  /** The oldest ones, 100 where nothing is said. */
  list(most?: number): Promise<DeadLetter<V>[]>
  /**
   * Accepts the change again, as the newest of its key: it goes over whatever was written since. Whether it was there.
   * Rejects with WriteRefusedError when there is no room; then it stays.
   */
  redrive(id: string): Promise<boolean>
  /** Gives the change up. Whether it was there. */
  discard(id: string): Promise<boolean>
}

export function createDeadLetters<V>({
  settings: {
    redis: { client },
  },
  place,
  invalidate,
  accept,
}: Pick<Parts<never>, 'settings' | 'place' | 'invalidate'> & {
  accept: (packed: Packed) => Promise<number>
}): DeadLetters<V> {
  const range = async (from: string, to: string, most: number) =>
    (await client.callBuffer('XRANGE', place.dead, from, to, 'COUNT', most)) as [
      id: Buffer,
      fields: Buffer[],
    ][]
  const discard = async (id: string) => (await client.xdel(place.dead, checked(id))) === 1

  return {
    async list(most = 100) {
      wholeNumber('most of dead letters to list', most, 1)
      return (await range('-', '+', most)).flatMap((raw) =>
        entryOf(raw).map(({ id, codecs, keyBytes, valueBytes }) => {
          const fields = fieldsOf(raw[1])
          return {
            id,
            key: unpackKey(codecs, keyBytes),
            value: unpackValue(codecs, valueBytes) as V,
            version: Number(fields.get('version')),
            cause: fields.get('cause')?.toString() ?? '',
            attempts: Number(fields.get('attempts')),
          }
        }),
      )
    },
    async redrive(id) {
      const [entry] = (await range(checked(id), id, 1)).flatMap(entryOf)
      if (!entry) return false
      // Twice rather than never: it is taken away only when it is accepted.
      await accept(entry)
      await invalidate([entry.encoded])
      return discard(id)
    },
    discard,
  }
}

function checked(id: string): string {
  if (/^\d+-\d+$/.test(id)) return id
  throw new TypeError(`${id} is no id of a dead letter: give one that list() returned`)
}
