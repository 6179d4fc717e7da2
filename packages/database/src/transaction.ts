import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@wattle/contracts'
import type { Kysely, Transaction } from 'kysely'
import { isTransient } from './errors.ts'

export type TransactionOptions = {
  /** PostgreSQL's default, `read committed`, where it is not said. */
  isolation?: 'read committed' | 'repeatable read' | 'serializable'
  /** How often it is tried in all when it loses against a concurrent transaction; 5 where it is not said. */
  attempts?: number
}

const firstBackoffMs = 10
const longestBackoffMs = 500

/**
 * Runs `work` in a transaction: commits when it resolves, rolls back when it rejects. After a serialization failure or
 * a deadlock (40001, 40P01; also at commit) the whole of `work` runs again, after a random wait of up to
 * 10, 20, 40 … ms, so it must do nothing outside the transaction that may not be done twice. A lost connection
 * is not retried: whether a commit on it was carried out is unknown.
 *
 * @throws AppError UNAVAILABLE when every attempt lost; otherwise what `work` threw.
 */
export async function runTransaction<DB, T>(
  kysely: Kysely<DB>,
  work: (trx: Transaction<DB>) => Promise<T>,
  { isolation, attempts = 5 }: TransactionOptions,
  random: () => number,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await runOnce(kysely, work, isolation)
    } catch (error) {
      if (!isTransient(error)) throw error
      if (attempt >= attempts) {
        throw new AppError('UNAVAILABLE', 'Too many changes at once; try again', {
          cause: error,
          retryAfterSeconds: 1,
        })
      }
      const ceilingMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** (attempt - 1))
      await delay(random() * ceilingMs)
    }
  }
}

async function runOnce<DB, T>(
  kysely: Kysely<DB>,
  work: (trx: Transaction<DB>) => Promise<T>,
  isolation: TransactionOptions['isolation'],
): Promise<T> {
  // Kysely reports a failed rollback in place of what made it necessary; the first error says more.
  let failure: { error: unknown } | undefined
  const builder = kysely.transaction()
  try {
    return await (isolation ? builder.setIsolationLevel(isolation) : builder).execute(
      async (trx) => {
        try {
          return await work(trx)
        } catch (error) {
          failure = { error }
          throw error
        }
      },
    )
  } catch (error) {
    throw failure ? failure.error : error
  }
}
