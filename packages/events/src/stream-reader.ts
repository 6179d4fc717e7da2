import type { Database } from '@wattle/database'
import { itemOf, type Item } from './delivery.ts'
import type { Delivery, Group } from './group.ts'
import { countDeadLetters } from './inbox-store.ts'
import type { Lanes, Verdict } from './lanes.ts'
import type { ConsumerMetrics } from './metrics.ts'
import type { createOutage } from './outage.ts'
import { backoffMs, createPause } from './pause.ts'
import type { RepetitionFilter } from './repetitions.ts'

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
  repetitions,
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
  repetitions: RepetitionFilter
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
  const isHeld = (entryId: string) => held.has(entryId)

  async function take(deliveries: readonly Delivery[]): Promise<void> {
    // After a failover an id that is held may come back with another event.
    const fresh = deliveries.filter(({ entryId, fields }) => {
      const known = held.get(entryId)
      return !known || known.fields['id'] !== fields['id']
    })
    const items = fresh.map((delivery) => itemOf(stream, delivery, hasHandler))
    for (const item of items) held.set(item.entryId, item)
    await repetitions.mark(items)
    for (const item of items) {
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
      await lanes.whenRoom()
      if (signal.aborted) return
      try {
        if (answersMayBeLost) await take(await group.claimOwn(held.size + mostAtOnce, isHeld))
        answersMayBeLost = false
        // The claim above may have used up the room.
        await take(await group.read(Math.max(1, Math.min(mostAtOnce, lanes.room()))))
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
    // Whether there is room or not: what fills it may be waiting for just these.
    for (let taken = mostAtOnce; taken === mostAtOnce && !signal.aborted;) {
      const claimed = await group.claim(claimAfterMs, mostAtOnce, isHeld)
      taken = claimed.length
      await take(claimed)
    }
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
