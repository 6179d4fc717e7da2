import { warm } from '@wattle/cache'
import type { Database } from '@wattle/database'
import type { CareOptions } from '@wattle/service'
import type { PaymentCache } from './cache.ts'
import { firstPage } from './history/history-store.ts'
import type { DB } from './schema.ts'

const dayMs = 86_400_000
/** Their lists take half of the budget: what else is read must find room beside them. */
const mostPeople = 10_000

/** Whoever paid lately looks at their payments again. */
export function paymentWarming({
  plan,
  database,
  now,
}: {
  plan: PaymentCache
  database: Pick<Database<DB>, 'within'>
  now: () => number
}): Pick<CareOptions, 'warming' | 'related'> {
  /** People with a payment of these days, who paid last first. */
  async function paidWithin(days: number, signal: AbortSignal): Promise<string[]> {
    const { kysely } = database.within(signal)
    const since = new Date(now() - days * dayMs)
    const rows = await kysely
      .selectFrom('payments')
      .select('user_id')
      .where('reservation', '=', 'reserved')
      .where('created_at', '>', since)
      .groupBy('user_id')
      .orderBy(({ fn }) => fn.max('created_at'), 'desc')
      .limit(mostPeople)
      .execute()
    return rows.map((row) => row.user_id)
  }

  return {
    warming: [
      {
        name: 'paid-lately',
        priority: 'high',
        // Payments go first: most of the pool stays theirs.
        concurrency: 2,
        async find(signal) {
          const people = await paidWithin(30, signal)
          return people.flatMap((userId) => [
            warm(plan.recent, userId),
            warm(plan.history, userId, firstPage),
          ])
        },
      },
    ],
    // From the latest ten people go on to all of them.
    related: { recent: (userId: string) => [warm(plan.history, userId, firstPage)] },
  }
}
