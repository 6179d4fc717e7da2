import type { Database } from '@wattle/database'
import type { Registry } from 'prom-client'
import { idempotencyStore } from '../idempotency/idempotency-store.ts'
import { startLoop, type Loop } from '../loop.ts'
import type { Charging } from '../payment/charging.ts'
import type { Lifecycle } from '../payment/lifecycle.ts'
import type { PaymentRow } from '../payment/payment-store.ts'
import type { InUnit } from '../payment/unit.ts'
import type { Refunding } from '../refund/refunding.ts'
import type { DB } from '../schema.ts'
import type { Timing } from '../timing.ts'
import { janitorStore } from './janitor-store.ts'
import { backlogGauges } from './metrics.ts'

/** How many payments, and how many refunds, one process attends to at a time. */
const batch = 10
const purgeBatch = 500
const mostPurgeBatches = 20
const purgeEveryMs = 60_000
const dayMs = 86_400_000
/** Promised are 24 hours. */
const keysKeptMs = 2 * dayMs
const callbacksKeptMs = 7 * dayMs
const cause = 'janitor'

export type JanitorDeps = {
  database: Database<DB>
  inUnit: InUnit
  lifecycle: Lifecycle
  charging: Charging
  refunding: Refunding
  timing: Timing
  log: {
    info(details: object, message: string): void
    warn(details: object, message: string): void
    error(details: object, message: string): void
  }
}

/**
 * One round of looking after what nobody else finishes: creations whose request died are given up, payments that were
 * not confirmed in time are canceled, charges and refunds without an answer are asked about. Returns whether there may
 * be more. Any number of processes may do this at once; one of them attends to a payment at a time, which is to save
 * work: what it does is safe at any moment, by the rules of payment/lifecycle.ts.
 */
export async function janitorRound(deps: JanitorDeps): Promise<boolean> {
  const { lifecycle, inUnit, charging, refunding, timing, log } = deps
  const store = janitorStore(deps.database.kysely)
  const payments = await store.claimPayments(batch, timing.claimMs)
  const refunds = await store.claimRefunds(batch, timing.claimMs)
  await Promise.all([
    ...payments.map((row) => attempt({ paymentId: row.id }, () => attendTo(row))),
    ...refunds.map((row) => attempt({ refundId: row.id }, () => refunding.ask(row, cause))),
  ])
  return payments.length === batch || refunds.length === batch

  async function attendTo(row: PaymentRow): Promise<void> {
    if (row.state !== 'requires_confirmation') return charging.ask(row, cause)
    await inUnit((unit) =>
      row.reservation === 'pending'
        ? lifecycle.abandon(unit, row.id, cause)
        : lifecycle.cancel(unit, row.id, 'expired', cause),
    )
  }

  /** One that fails must not keep the others from being attended to; its own turn comes again. */
  async function attempt(subject: object, work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      log.error({ err: error, ...subject }, 'the janitor could not finish; it will try again')
    }
  }
}

/** Deletes what was kept long enough, in batches; bounded, so that a backlog does not keep the janitor from payments. */
export async function purge(database: Pick<Database<DB>, 'kysely'>): Promise<void> {
  const keys = idempotencyStore(database.kysely)
  const callbacks = janitorStore(database.kysely)
  for (const purgeSome of [
    () => keys.purge(keysKeptMs, purgeBatch),
    () => callbacks.purgeCallbacks(callbacksKeptMs, purgeBatch),
  ]) {
    for (let n = 0; n < mostPurgeBatches && (await purgeSome()) === purgeBatch; n += 1);
  }
}

/** Runs rounds until it is stopped, and measures what is left to do. */
export function startJanitor(
  deps: JanitorDeps & { everyMs: number; registry?: Registry; random: () => number },
): Loop {
  const measure = backlogGauges(deps.registry)
  let purgedAt = performance.now()
  return startLoop({
    name: 'janitor',
    everyMs: deps.everyMs,
    log: deps.log,
    random: deps.random,
    async round() {
      const hasMore = await janitorRound(deps)
      await measure(janitorStore(deps.database.kysely))
      if (performance.now() - purgedAt > purgeEveryMs) {
        purgedAt = performance.now()
        await purge(deps.database)
      }
      return hasMore
    },
  })
}
