import { AppError, billingRoutes } from '@wattle/contracts'
import { addRoute } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import type { AccountsStore } from './accounts-store.ts'
import type { Biller } from './biller.ts'
import type { BillsStore } from './bills-store.ts'
import type { BillingCache } from './cache.ts'

/** Linking a meter or customer account; its bills come in with it. */
export function addAccountRoutes(
  app: FastifyInstance,
  deps: {
    accounts: AccountsStore
    bills: Pick<BillsStore, 'provider'>
    biller: Biller
    cache: BillingCache
    now: () => number
  },
): void {
  const { accounts, bills, biller, cache, now } = deps

  addRoute(app, billingRoutes.linkAccount, async ({ body, user, request }) => {
    const { providerId, customerNumber } = body
    const { signal } = request.deadline
    const provider = await bills.provider(providerId)
    if (!provider) throw new AppError('NOT_FOUND', 'There is no such provider.')
    const found = await biller.recentBills({ provider, customerNumber }, signal)
    if (!found) throw new AppError('NOT_FOUND', 'The provider does not know this number.')
    const { currency } = provider
    const account = { userId: user.userId, providerId, customerNumber, currency, bills: found }
    return cache.linking(user.userId, (note) =>
      accounts.link(account, { now: new Date(now()), signal, note }),
    )
  })

  addRoute(app, billingRoutes.listAccounts, async ({ user }) => ({
    items: await accounts.accountsOf(user.userId),
  }))
}
