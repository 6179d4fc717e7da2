import type { Database } from '@wattle/database'
import { itemOf, type Item } from './delivery.ts'
import type { Delivery, Group } from './group.ts'
import { countDeadLetters } from './inbox-store.ts'
import type { Lanes, Verdict } from './lanes.ts'
import type { ConsumerMetrics } from './metrics.ts'
import type { createOutage } from './outage.ts'
import { backoffMs, createPause } from './pause.ts'

const retry = { baseMs: 100, longestMs: 2_000 }
const mostAtOnce = 100
/** A copy that holds nothing and was silent for so long will not come back under its name. */
const forgottenAfterMs = 600_000

/**
 * Feeds the lanes from one stream: with new entries, with those that a dead copy left, and with those whose delivery
 * was lost on the way here. Tells the group every third of `claimAfterMs` what is still being worked on.
 */
export function startStreamReader<DB>({
  stream,
  groupName,
  group,
  database,
  lanes,
  maxInHand,
  claimAfterMs,
  hasHandler,
  deliver,
  outage,
  metrics,
  random,
  signal,
}: {
  stream: string
  groupName: string
  group: Group
  database: Database<DB>
  lanes: Lanes
  maxInHand: number
  claimAfterMs: number
  hasHandler: (type: string) => boolean
  deliver: (item: Item) => Promise<Verdict>
  outage: ReturnType<typeof createOutage>
  metrics: ConsumerMetrics
  random: () => number
  signal: AbortSignal
}) {
  const held = new Map<string, Item>()
  const { pause } = createPause(signal)
  const room = () => Math.min(mostAtOnce, maxInHand - lanes.size)
  const isHeld = (entryId: string) => held.has(entryId)

  function take(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) {
      const known = held.get(delivery.entryId)
      // After a failover an id may come back with another event.
      if (known && known.fields['id'] === delivery.fields['id']) continue
      const item = itemOf(stream, delivery, hasHandler)
      held.set(item.entryId, item)
      lanes.add({ lane: item.lane, order: item.order, run: () => run(item) })
    }
  }

  async function run(item: Item): Promise<Verdict> {
    const verdict = await deliver(item)
    if (verdict === 'done' && held.get(item.entryId) === item) held.delete(item.entryId)
    return verdict
  }

  async function read(): Promise<void> {
    let answersMayBeLost = false
    for (let failures = 0; !signal.aborted;) {
      await lanes.room(maxInHand)
      if (signal.aborted) return
      try {
        if (answersMayBeLost) take(await group.claimOwn(room(), isHeld))
        answersMayBeLost = false
        take(await group.read(room()))
        outage.worked()
        failures = 0
      } catch (error) {
        answersMayBeLost = true
        failures = outage.failed(error)
        await pause(backoffMs(failures, retry, random))
      }
    }
  }

  async function tend(): Promise<void> {
    while (!signal.aborted) {
      // Whatever fails here is tried again the next time; the reader tells of an outage.
      await Promise.allSettled([attendToGroup(), measure()])
      await pause((claimAfterMs / 3) * (0.75 + 0.5 * random()))
    }
  }

  async function attendToGroup(): Promise<void> {
    await group.hold(new Set(held.keys()))
    if (room() > 0 && !signal.aborted) take(await group.claim(claimAfterMs, room(), isHeld))
    await group.sweep(forgottenAfterMs)
  }

  async function measure(): Promise<void> {
    const labels = { stream, group: groupName }
    const lag = await group.lag()
    if (lag !== undefined) metrics.lag.set(labels, lag)
    metrics.deadLetters.set(labels, await countDeadLetters(database.kysely, stream))
  }

  const loops = [read(), tend()]
  return {
    /** After the signal and the end of all handlers: hands what is left to other copies, as far as Redis is there. */
    async leave(): Promise<void> {
      await Promise.all(loops)
      await group
        .release([...held.keys()], claimAfterMs)
        .then(() => group.leave())
        .catch(() => {})
    },
  }
}
