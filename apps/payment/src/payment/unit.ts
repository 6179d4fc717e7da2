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

/**
 * Runs work in one transaction and, once it is committed, calls `changed` for everyone whose payments it touched. Like
 * every transaction it may run twice: it must do nothing outside.
 */
export function unitOfWork(deps: {
  database: Pick<Database<DB>, 'transaction'>
  changed: (userId: string) => Promise<unknown>
}): InUnit {
  return async (work) => {
    let touched = new Set<string>()
    const result = await deps.database.transaction((trx) => {
      touched = new Set()
      return work({ trx, touch: (userId) => touched.add(userId) })
    })
    await Promise.all([...touched].map(deps.changed))
    return result
  }
}
