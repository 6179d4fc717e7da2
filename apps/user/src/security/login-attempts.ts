import { createHmac } from 'node:crypto'
import { AppError } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { keysFor } from '@wattle/identity'
import { sql } from 'kysely'
import type { DB } from '../schema.ts'
import type { Origin } from '../session/origin.ts'
import type { KnownDevice } from './devices.ts'

export type LockoutRules = {
  /** Attempts that may fail in a window; the next ones are refused until it ends. */
  readonly maxAttempts: number
  readonly windowMs: number
}

export const defaultLockout: LockoutRules = { maxAttempts: 10, windowMs: 15 * 60_000 }

/** One attempt that was let in: whoever made it says how it went. */
export type Attempt = {
  /** The right password: everything that failed from there before is forgotten. */
  succeeded(): Promise<void>
  /** It was not decided (too busy, no database): it does not count. */
  undecided(): Promise<void>
  /** Whether it was the last one that this window lets in. */
  readonly isLast: boolean
}

/**
 * Bounds guessing, in PostgreSQL, so that neither a restart nor a lost Redis gives new attempts. Counted is each pair of
 * account and place, so nobody can lock an account for others: an attacker locks the account for his own network only.
 * A device that shows by its token that it was logged in to this account before has a count of its own, so that a person
 * gets in also from the network of an attacker (the same office, the same carrier).
 *
 * An attempt is counted before the password is looked at, in one statement, so a thousand at once get no more than the
 * bound. Addresses that nobody has count just the same: being locked tells nothing.
 */
export function loginAttempts({
  database,
  secrets,
  rules = defaultLockout,
  now,
}: {
  database: Database<DB>
  secrets: readonly [Buffer, ...Buffer[]]
  rules?: LockoutRules
  now: () => number
}) {
  const [key] = keysFor('login attempts', secrets)
  const accountOf = (email: string) => createHmac('sha256', key).update(email).digest()

  async function count(
    account: Buffer,
    source: string,
  ): Promise<{ attempts: number; endsAt: Date }> {
    const nowAt = new Date(now())
    const ends = new Date(now() + rules.windowMs)
    const { rows } = await sql<{ attempts: number; endsAt: Date }>`
      insert into login_attempts as known (account, source, attempts, window_ends_at)
      values (${account}, ${source}, 1, ${ends})
      on conflict (account, source) do update set
        attempts = case when known.window_ends_at <= ${nowAt} then 1 else known.attempts + 1 end,
        window_ends_at =
          case when known.window_ends_at <= ${nowAt} then ${ends} else known.window_ends_at end
      returning attempts, window_ends_at as "endsAt"`.execute(database.kysely)
    const [row] = rows
    if (row === undefined) throw new Error('an attempt was not counted')
    return row
  }

  async function uncount(account: Buffer, source: string): Promise<void> {
    await database.kysely
      .updateTable('login_attempts')
      .set({ attempts: sql`greatest(attempts - 1, 0)` })
      .where('account', '=', account)
      .where('source', '=', source)
      .execute()
  }

  async function forget(account: Buffer, source: string): Promise<void> {
    await database.kysely
      .deleteFrom('login_attempts')
      .where('account', '=', account)
      .where('source', '=', source)
      .execute()
  }

  return {
    /** Throws TOO_MANY_REQUESTS when this place has tried too often. */
    async begin(email: string, origin: Origin, device: KnownDevice | undefined): Promise<Attempt> {
      const account = accountOf(email)
      const source =
        device === undefined ? `network ${origin.network}` : `device ${device.deviceId}`
      const { attempts, endsAt } = await count(account, source)
      if (attempts > rules.maxAttempts) {
        throw new AppError(
          'TOO_MANY_REQUESTS',
          'Too many attempts; wait, or reset your password.',
          {
            retryAfterSeconds: Math.max(1, Math.ceil((endsAt.getTime() - now()) / 1000)),
          },
        )
      }
      return {
        succeeded: () => forget(account, source),
        undecided: () => uncount(account, source),
        isLast: attempts === rules.maxAttempts,
      }
    },
    /** After a reset of the password, everywhere. */
    async forgetAll(email: string): Promise<void> {
      await database.kysely
        .deleteFrom('login_attempts')
        .where('account', '=', accountOf(email))
        .execute()
    },
  }
}

export type LoginAttempts = ReturnType<typeof loginAttempts>
