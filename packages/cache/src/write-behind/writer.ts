import type { HeldWork } from '../locks/work-within.ts'
import { SourceAwayError, type Delivery } from './delivery.ts'
import { createGiving } from './giving.ts'
import type { JournalEntry } from './journal.ts'
import type { Parts } from './parts.ts'

/** From so many deliveries on, an entry may be what ended the processes that had it: from there one is taken at a time. */
const carefulFrom = 3
/** Delivered alone so often and never brought to an end: it ends the processes that write it. */
const maxDeliveries = 20
/** Entries looked at when a writer begins. */
const mostLookedAt = 1_000

/** One turn of a process as the writer, from the moment it has the lock. */
export function createWriter(parts: Parts<never> & { delivery: Delivery }) {
  const { settings, journal, held, counts, log, now, pause, delivery } = parts
  const { name, batchSize, everyMs, takeOverAfterMs } = settings
  const giveDue = createGiving(parts)
  const mostRead = batchSize * 10
  const mostHeld = batchSize * 20
  let outages = 0

  function take(entries: readonly JournalEntry[]): void {
    for (const entry of entries) if (held.add(entry)) counts.add('coalesced')
  }

  async function writeDue(work: HeldWork): Promise<void> {
    try {
      await giveDue(work, outages > 0)
      if (outages > 0) log.info({ writes: name }, `the source of ${name} takes changes again`)
      outages = 0
    } catch (cause) {
      if (!(cause instanceof SourceAwayError)) throw cause
      if (outages++ === 0) {
        log.warn({ writes: name, err: cause.cause }, `${cause.message}: changes wait`)
      }
      await pause(Math.min(5_000, 50 * 2 ** Math.min(outages, 10)), work.signal)
    }
  }

  /** What the last writer had in hand when it ended. */
  async function takeOver(work: HeldWork): Promise<void> {
    const left = await journal.deliveries('-', mostLookedAt)
    const careful = Math.max(0, ...left.values()) >= carefulFrom
    for (let from = '0-0', first = true; first || from !== '0-0'; first = false) {
      // What is taken counts as delivered, so nothing is that cannot be given.
      work.signal.throwIfAborted()
      const { next, entries } = await journal.takeOver(from, careful ? 1 : mostRead)
      from = next
      const mine = await undone(entries)
      take(mine)
      const [entry] = mine
      if (careful && entry) await judge(entry)
      // While the source is away no more is taken than may be held.
      do await writeDue(work)
      while (held.untriedEntries >= mostHeld && !work.signal.aborted)
      // It was given to the source, and this process lives: an outage is no fault of the change.
      if (careful && entry) await journal.acquit(entry.id)
    }
  }

  /**
   * Of entries that a writer had before, those that are to be written: an entry without a mark was written, and of one that
   * was overtaken nobody knows whether the newer one was, so writing it might go back.
   */
  async function undone(entries: readonly JournalEntry[]): Promise<JournalEntry[]> {
    const newest = await journal.pendingOf(entries.map(({ encoded }) => encoded))
    const done = entries.filter(({ version }, at) => newest[at] !== version)
    if (done.length > 0) await delivery.drop(done)
    return entries.filter(({ version }, at) => newest[at] === version)
  }

  /** What a former writer took when it woke. */
  async function takeStrays(): Promise<void> {
    const ids = () => new Set(held.all().flatMap((one) => one.ids))
    const strays = await journal.strays({ entries: held.entries, ids }, mostRead)
    take(await undone(strays))
  }

  async function judge({ id, encoded }: JournalEntry): Promise<void> {
    const times = (await journal.deliveries(id, 1)).get(id) ?? 0
    if (times <= maxDeliveries) return
    const one = held.all().find((other) => other.encoded === encoded)
    if (one) await delivery.bury(one, `delivered ${times} times, and never brought to an end`)
  }

  /** Until the lock is lost, Redis does not serve (rejects), or `isEnding` and everything is written. */
  return async function lead(work: HeldWork, isEnding: () => boolean): Promise<void> {
    held.remove(held.all())
    await takeOver(work)
    let lookedMs = now()
    while (!work.signal.aborted) {
      const beganMs = now()
      if (beganMs - lookedMs >= takeOverAfterMs) {
        lookedMs = beganMs
        await takeStrays()
      }
      const room = Math.min(mostRead, mostHeld - held.untriedEntries)
      const dueInMs = Math.max(0, held.nextDueMs() - now())
      const entries = room > 0 ? await journal.read(room, isEnding() ? 0 : dueInMs) : []
      take(entries)
      await writeDue(work)
      if (isEnding() && entries.length === 0 && held.keys === 0) return
      if (entries.length === 0 && held.keys === 0) continue
      // What comes within this time goes out together; a full read means that more is waiting.
      const untilNextMs = entries.length === mostRead ? 0 : everyMs - (now() - beganMs)
      const pauseMs = Math.max(
        isEnding() ? Math.min(untilNextMs, 20) : untilNextMs,
        room > 0 ? 0 : 20,
      )
      if (pauseMs > 0) await pause(pauseMs, work.signal)
    }
  }
}
