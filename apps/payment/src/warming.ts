import { warm } from '@wattle/cache'
import type { Database } from '@wattle/database'
import { inBatches, type CareOptions } from '@wattle/service'
import type { PaymentCache } from './cache.ts'
import { firstPage } from './history/history-store.ts'
import type { DB } from './schema.ts'

const dayMs = 86_400_000
const batch = 500

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
  /** People with a payment of these days, in the order of their ids. */
  function paidWithin(days: number, signal: AbortSignal) {
    const { kysely } = database.within(signal)
    const since = new Date(now() - days * dayMs)
    return inBatches<string>(batch, async (after = '', limit) => {
      const rows = await kysely
        .selectFrom('payments')
        .select('user_id')
        .distinct()
        .where('reservation', '=', 'reserved')
        .where('created_at', '>', since)
        .where('user_id', '>', after)
        .orderBy('user_id')
        .limit(limit)
        .execute()
      return rows.map((row) => row.user_id)
    })
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
          return (async function* entries() {
            for await (const userId of people) {
              yield warm(plan.recent, userId)
              yield warm(plan.history, userId, firstPage)
            }
          })()
        },
      },
    ],
    // From the latest ten people go on to all of them.
    related: { recent: (userId: string) => [warm(plan.history, userId, firstPage)] },
  }
}
