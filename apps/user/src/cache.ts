import type { Cache, Ref } from '@wattle/cache'
import type { Id } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { readPreferences } from './preferences-store.ts'
import { readProfile } from './profile-store.ts'
import type { DB } from './schema.ts'

export type UserCache = ReturnType<typeof userCache>

/**
 * Everything that the user service caches, and what removes it. A key ends in the user id; e-mail addresses never stand
 * in keys, and password hashes are never cached.
 */
export function userCache({ cache, database }: { cache: Cache; database: Database<DB> }) {
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

  /**
   * Runs a write, then invalidates what it may have changed; also when it failed, since a connection that was lost at
   * the commit leaves open whether it happened.
   */
  async function writing<T>(ref: Ref, write: () => Promise<T>): Promise<T> {
    try {
      return await write()
    } finally {
      await cache.invalidate([ref])
    }
  }

  return {
    ...plan,
    changeProfile: <T>(userId: Id<'usr'>, write: () => Promise<T>) =>
      writing(plan.profile.ref(userId), write),
    changePreferences: <T>(userId: Id<'usr'>, write: () => Promise<T>) =>
      writing(plan.preferences.ref(userId), write),
  }
}
