import { warm, type WarmingJob } from '@wattle/cache'
import type { Id } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { CareOptions } from '@wattle/service'
import type { UserCache } from './cache.ts'
import type { DB } from './schema.ts'

const hourMs = 3_600_000
/** Their profiles and preferences take a third of the budget: what else is read must find room beside them. */
const mostPeople = 20_000

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
  /** People who had a session within these hours, who was seen last first. */
  async function seenWithin(hours: number, signal: AbortSignal): Promise<Id<'usr'>[]> {
    const { kysely } = database.within(signal)
    const since = new Date(now() - hours * hourMs)
    const rows = await kysely
      .selectFrom('sessions')
      .select('user_id')
      .where('last_seen_at', '>', since)
      .groupBy('user_id')
      .orderBy(({ fn }) => fn.max('last_seen_at'), 'desc')
      .limit(mostPeople)
      .execute()
    return rows.map((row) => row.user_id as Id<'usr'>)
  }

  const jobs: WarmingJob[] = [
    {
      name: 'seen-today',
      priority: 'high',
      async find(signal) {
        const people = await seenWithin(24, signal)
        return people.flatMap((id) => [warm(plan.profile, id), warm(plan.preferences, id)])
      },
    },
    {
      name: 'seen-this-week',
      priority: 'high',
      async find(signal) {
        const people = await seenWithin(7 * 24, signal)
        return people.map((id) => warm(plan.profile, id))
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
