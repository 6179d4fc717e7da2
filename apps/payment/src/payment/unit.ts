import type { Database } from '@wattle/database'
import type { Transaction } from 'kysely'
import type { DB } from '../schema.ts'

/** One database transaction, and whose lists it changes. */
export type Unit = {
  readonly trx: Transaction<DB>
  /** Notes that what this person sees changes, for when it has been committed. */
  touch(userId: string): void
}

export type InUnit = <T>(work: (unit: Unit) => Promise<T>) => Promise<T>

/** Writes down in the transaction whose lists change: what is read of them afterwards follows from the commit. */
export type NoteChange = (trx: Transaction<DB>, userId: string) => Promise<void>

/**
 * Runs work in one transaction, and notes there everyone whose payments it touched. `writing` makes of the notes what has
 * to be done after the commit. Like every transaction it may run twice: it must do nothing outside.
 */
export function unitOfWork(deps: {
  database: Pick<Database<DB>, 'transaction'>
  writing: <T>(work: (note: NoteChange) => Promise<T>) => Promise<T>
  changed?: (() => void) | undefined
}): InUnit {
  return (work) =>
    deps.writing(async (note) => {
      let touched = new Set<string>()
      const result = await deps.database.transaction(async (trx) => {
        touched = new Set()
        const done = await work({ trx, touch: (userId) => touched.add(userId) })
        for (const userId of touched) await note(trx, userId)
        return done
      })
      if (touched.size > 0) deps.changed?.()
      return result
    })
}
