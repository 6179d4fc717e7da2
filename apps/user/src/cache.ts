import { createOutbox, type Cache } from '@wattle/cache'
import type { Id } from '@wattle/contracts'
import { queryOf, type Database, type Queries } from '@wattle/database'
import { readPreferences, readPreferencesOfMany } from './preferences-store.ts'
import { readProfile, readProfiles } from './profile-store.ts'
import type { DB } from './schema.ts'

export type UserCache = ReturnType<typeof userCache>

/** The writes that change what is cached. */
type Writes = {
  'profile.changed': { userId: Id<'usr'> }
  'preferences.changed': { userId: Id<'usr'> }
}

/**
 * Everything that the user service caches, and what removes it. A key ends in the user id; e-mail addresses never stand
 * in keys, and password hashes are never cached.
 *
 * The list of a person's sessions is not cached. Whoever looks at it wants to know who is logged in now; and each use of
 * a session is written into it once a minute, so that a list which is never old would be found by nobody but those who
 * look twice within a minute. It is an index range of five rows. And whether a session is good is never asked of a cache.
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
      loadMany: (all) => readProfiles(database, all.flat()),
    },
    preferences: {
      key: (userId: Id<'usr'>) => [userId],
      ttl: '1h',
      load: (userId: Id<'usr'>) => readPreferences(database, userId),
      loadMany: (all) => readPreferencesOfMany(database, all.flat()),
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
