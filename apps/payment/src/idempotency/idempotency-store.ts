import type { ErrorCode, FieldError } from '@wattle/contracts'
import { sql, type Kysely, type Selectable } from 'kysely'
import { fromNow } from '../payment/payment-store.ts'
import type { DB, JsonValue } from '../schema.ts'

/** What a request was told, as it is kept. */
export type StoredAnswer =
  | { readonly status: number; readonly body: unknown }
  | {
      readonly refused: ErrorCode
      readonly message: string
      readonly fields?: readonly FieldError[]
    }

export type KeyName = { readonly userId: string; readonly key: string }

export type KeyRow = Omit<Selectable<DB['idempotency_keys']>, 'answer'> & {
  readonly answer: StoredAnswer | null
  /** Whether a request works on it at this moment. */
  readonly is_leased: boolean
}

export function idempotencyStore(db: Kysely<DB>) {
  const update = ({ userId, key }: KeyName) =>
    db.updateTable('idempotency_keys').where('user_id', '=', userId).where('key', '=', key)
  const json = (answer: StoredAnswer) => sql<JsonValue>`${JSON.stringify(answer)}::json`

  return {
    /** Returns whether the key is new. Waits for a concurrent transaction that has just stored it. */
    async insert(
      { userId, key }: KeyName,
      request: { route: string; hash: string; resourceId: string; leaseMs: number },
    ): Promise<boolean> {
      const row = await db
        .insertInto('idempotency_keys')
        .values({
          user_id: userId,
          key,
          route: request.route,
          request_hash: request.hash,
          resource_id: request.resourceId,
          lease_until: fromNow(request.leaseMs),
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning('key')
        .executeTakeFirst()
      return row !== undefined
    },

    async find({ userId, key }: KeyName): Promise<KeyRow | undefined> {
      const row = await db
        .selectFrom('idempotency_keys')
        .selectAll()
        .select(sql<boolean>`lease_until > now()`.as('is_leased'))
        .where('user_id', '=', userId)
        .where('key', '=', key)
        .executeTakeFirst()
      return row && { ...row, answer: row.answer as StoredAnswer | null }
    },

    /** Takes the work over when nobody is at it. Returns whether it did. */
    async takeOver(name: KeyName, leaseMs: number): Promise<boolean> {
      const row = await update(name)
        .set({ lease_until: fromNow(leaseMs) })
        .where('answer', 'is', null)
        .where(sql<boolean>`lease_until <= now()`)
        .returning('key')
        .executeTakeFirst()
      return row !== undefined
    },

    /** Lets the next request go on at once. */
    release: (name: KeyName) =>
      update(name)
        .set({ lease_until: sql<Date>`now()` })
        .where('answer', 'is', null)
        .execute(),

    /** Stores the answer, unless there is one; returns the one that stands. */
    async answer(name: KeyName, answer: StoredAnswer): Promise<StoredAnswer> {
      const row = await update(name)
        .set({ answer: json(answer), lease_until: sql<Date>`now()` })
        .where('answer', 'is', null)
        .returning('key')
        .executeTakeFirst()
      if (row !== undefined) return answer
      const standing = await this.find(name)
      return standing?.answer ?? answer
    },

    /** Lets the key stand for another resource, when it still stands for `from`. Returns whether it did. */
    async rebind(name: KeyName, from: string, to: string): Promise<boolean> {
      const row = await update(name)
        .set({ resource_id: to })
        .where('resource_id', '=', from)
        .where('answer', 'is', null)
        .returning('key')
        .executeTakeFirst()
      return row !== undefined
    },

    /** Deletes some of the keys that are older than that; returns how many. */
    async purge(olderThanMs: number, limit: number): Promise<number> {
      const result = await sql`
        delete from idempotency_keys where (user_id, key) in (
          select user_id, key from idempotency_keys where created_at < ${fromNow(-olderThanMs)}
          order by created_at limit ${limit} for update skip locked
        )`.execute(db)
      return Number(result.numAffectedRows ?? 0)
    },
  }
}
