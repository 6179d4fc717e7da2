import type { Cache } from '@wattle/cache'
import type { Id } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { readPreferences } from './preferences-store.ts'
import { readProfile } from './profile-store.ts'
import type { DB } from './schema.ts'

/**
 * Everything the user service caches. A key is `<env>:user:<kind>:<user id>`; e-mail addresses never stand in keys, and
 * password hashes are never cached.
 *
 * | write | invalidates, after its commit |
 * |---|---|
 * | profile changed | `profile` of the person |
 * | preferences changed | `preferences` of the person |
 */
export function cachePlan(cache: Cache, database: Database<DB>) {
  return cache.define({
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
}

export type CachePlan = ReturnType<typeof cachePlan>
