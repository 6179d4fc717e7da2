import { warm, type WarmingJob } from '@wattle/cache'
import type { Id } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { inBatches, type CareOptions } from '@wattle/service'
import type { UserCache } from './cache.ts'
import type { DB } from './schema.ts'

const hourMs = 3_600_000
const batch = 500

/** Who is likely to come back is loaded before they do, by what the database says of their sessions. */
export function userWarming({
  plan,
  database,
  now,
}: {
  plan: UserCache
  database: Pick<Database<DB>, 'within'>
  now: () => number
}): Pick<CareOptions, 'warming' | 'related'> {
  /** People who had a session within these hours, in the order of their ids. */
  function seenWithin(hours: number, signal: AbortSignal) {
    const { kysely } = database.within(signal)
    const since = new Date(now() - hours * hourMs)
    return inBatches<Id<'usr'>>(batch, async (after = '' as Id<'usr'>, limit) => {
      const rows = await kysely
        .selectFrom('sessions')
        .select('user_id')
        .distinct()
        .where('last_seen_at', '>', since)
        .where('user_id', '>', after)
        .orderBy('user_id')
        .limit(limit)
        .execute()
      return rows.map((row) => row.user_id as Id<'usr'>)
    })
  }

  const jobs: WarmingJob[] = [
    {
      name: 'seen-today',
      priority: 'high',
      async find(signal) {
        const people = await seenWithin(24, signal)
        return (async function* entries() {
          for await (const id of people) {
            yield warm(plan.profile, id)
            yield warm(plan.preferences, id)
          }
        })()
      },
    },
    {
      name: 'seen-this-week',
      priority: 'high',
      async find(signal) {
        const people = await seenWithin(7 * 24, signal)
        return (async function* entries() {
          for await (const id of people) yield warm(plan.profile, id)
        })()
      },
    },
  ]
  return {
    warming: jobs,
    // Who looks at one of the two looks at the other.
    related: {
      profile: (id: Id<'usr'>) => [warm(plan.preferences, id)],
      preferences: (id: Id<'usr'>) => [warm(plan.profile, id)],
    },
  }
}
