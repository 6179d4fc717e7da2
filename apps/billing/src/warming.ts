import { warm, type Warm } from '@wattle/cache'
import { Utility } from '@wattle/contracts'
import type { CareOptions } from '@wattle/service'
import type { BillingCache, PageRequest } from './cache.ts'
import { dayAt, type Day } from './calendar.ts'

const firstPage: PageRequest = { filters: {}, limit: 20 }

/** The providers, and the bills that were hot, as they are today. */
export function billingWarming({
  plan,
  now,
}: {
  plan: BillingCache
  now: () => number
}): Pick<CareOptions, 'warming' | 'related' | 'renew'> {
  return {
    warming: [
      {
        name: 'providers',
        priority: 'medium',
        find: () => [undefined, ...Utility.enum].map((utility) => warm(plan.providers, utility)),
      },
    ],
    // From a bill people go back to the list.
    related: {
      bill: (userId: string, _billId: string, today: Day) => [
        warm(plan.bills, userId, today, firstPage),
      ],
    },
    renew(entry: Warm) {
      const today = dayAt(now())
      if (entry.kind.name === plan.bill.name) {
        const [userId, billId] = entry.args as Parameters<typeof plan.bill.get>
        return warm(plan.bill, userId, billId, today)
      }
      return entry
    },
  }
}
