import type { Payment, PaymentQuery } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { sql } from 'kysely'
import { paymentView } from '../payment/view.ts'
import type { DB } from '../schema.ts'
import type { Position } from './cursor.ts'

export type HistoryFilters = Omit<PaymentQuery, 'cursor' | 'limit'>

/** One page of a person's payments, as it is asked for. */
export type PageRequest = {
  readonly filters: HistoryFilters
  readonly after?: Position | undefined
  readonly limit: number
}

/** What is asked for where nothing is said. */
export const firstPage: PageRequest = { filters: {}, limit: 20 }

export type HistoryStore = ReturnType<typeof historyStore>

/** Reads lists of payments. What is returned is plain JSON, ready to be cached. */
export function historyStore({ kysely }: Pick<Database<DB>, 'kysely'>) {
  return {
    /** A person's payments after a position, the latest first; those that billing holds or held. */
    async paymentsOf(userId: string, page: PageRequest): Promise<Payment[]> {
      const { filters, after, limit } = page
      let query = kysely
        .selectFrom('payments')
        .selectAll()
        .where('user_id', '=', userId)
        .where('reservation', '=', 'reserved')
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(limit)
      if (filters.state) query = query.where('state', '=', filters.state)
      if (filters.billId) query = query.where('bill_id', '=', filters.billId)
      if (filters.from) query = query.where('created_at', '>=', new Date(filters.from))
      if (filters.to) query = query.where('created_at', '<', new Date(filters.to))
      if (after) {
        query = query.where(
          sql<boolean>`(created_at, id) < (${after.createdAt}::timestamptz, ${after.id})`,
        )
      }
      return (await query.execute()).map(paymentView)
    },
  }
}
