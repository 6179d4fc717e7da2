import { createOutbox, type Cache } from '@wattle/cache'
import type { Id } from '@wattle/contracts'
import { queryOf, type Database, type Queries } from '@wattle/database'
import { readPreferences } from './preferences-store.ts'
import { readProfile } from './profile-store.ts'
import type { DB } from './schema.ts'

/** What the service may use of the Redis that all share. */
export const budgetBytes = 128 * 2 ** 20

export type UserCache = ReturnType<typeof userCache>

/** The writes that change what is cached. */
type Writes = {
  'profile.changed': { userId: Id<'usr'> }
  'preferences.changed': { userId: Id<'usr'> }
}

/**
 * Everything that the user service caches, and what removes it. A key ends in the user id; e-mail addresses never stand
 * in keys, and password hashes are never cached.
 */
export function userCache({
  cache,
  database,
  log,
}: {
  cache: Cache
  database: Database<DB>
  log: Parameters<typeof createOutbox>[0]['log']
}) {
  const plan = cache.define({
    profile: {
      key: (userId: Id<'usr'>) => [userId],
      ttl: '1h',
      load: (userId: Id<'usr'>) => readProfile(database, userId),
    },
    preferences: {
      key: (userId: Id<'usr'>) => [userId],
      ttl: '1h',
      load: (userId: Id<'usr'>) => readPreferences(database, userId),
    },
  })
  const rules = cache.rules<Writes>({
    'profile.changed': ({ userId }) => [plan.profile.ref(userId)],
    'preferences.changed': ({ userId }) => [plan.preferences.ref(userId)],
  })

  const outbox = createOutbox({ cache, query: queryOf(database.kysely), log })
  return {
    ...plan,
    /** Runs a write in a transaction, and stores there what it invalidates; then invalidates it. */
    write: <Type extends keyof Writes, T>(
      type: Type,
      event: Writes[Type],
      work: (queries: Pick<Queries<DB>, 'kysely'>) => Promise<T>,
    ): Promise<T> =>
      outbox.write((invalidates) =>
        database.transaction(async (trx) => {
          const result = await work({ kysely: trx })
          await invalidates(queryOf(trx), rules.refs(type, event))
          return result
        }),
      ),
    close: outbox.stop,
  }
}
