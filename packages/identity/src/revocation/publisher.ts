import type { liveSet } from './live-set.ts'
import type { RevocationChannel } from './revocation-channel.ts'
import type { Revocation } from './revocation.ts'

/** A revocation as the database has it. */
export type StoredRevocation = Revocation & { readonly sequence: number }

/** The truth: committed together with what caused them. */
export type RevocationLog = {
  /** Live ones that `epoch` has not acknowledged yet, oldest first; of all epochs where it is undefined. */
  unpublished(epoch: string | undefined, limit: number, after: number): Promise<StoredRevocation[]>
  /** Notes that this epoch has them. */
  markPublished(sequences: readonly number[], epoch: string): Promise<void>
}

export type PublisherOptions = {
  readonly log: RevocationLog
  readonly live: ReturnType<typeof liveSet>
  readonly channel: Pick<RevocationChannel, 'publish'>
  /** Pause between two looks at the database; also the longest that a revocation is late after a crash. */
  readonly everyMs?: number
  readonly now?: () => number
  readonly warn?: (fields: object, message: string) => void
}

const batch = 500

/**
 * Brings revocations from the database to Redis and to every process.
 *
 * A revocation is a row before it is anything else. It is published by adding it to the live set and announcing it on the
 * channel, in one step, then noting in its row the epoch (from the master's replication id) that has it. Whatever is cut off in between is
 * done again by the sweep of any copy, and doing it twice is harmless:
 *
 * - killed between commit and publication: the row has no epoch, the next sweep finds it;
 * - failover: the new master has another epoch, so every live row differs from it and is published again, also what the
 *   old one took with it. Only then is the set marked complete in that epoch, and until then no view trusts it;
 * - the set was deleted within one epoch: its mark is gone, so all live rows are published again.
 */
export function revocationPublisher(options: PublisherOptions) {
  const { log, live, channel, everyMs = 500, now = Date.now, warn = () => undefined } = options
  let running = Promise.resolve(true)
  let queued: Promise<boolean> | undefined
  let timer: NodeJS.Timeout | undefined
  let isClosed = false
  let failures = 0

  async function sweep(): Promise<boolean> {
    const { epoch, isComplete } = await live.epoch()
    let after = 0
    for (;;) {
      // In an epoch that is not complete nothing counts that a row says.
      const rows = await log.unpublished(isComplete ? epoch : undefined, batch, after)
      if (rows.length === 0) break
      if ((await channel.publish(rows, now())) !== epoch) return false
      const sequences = rows.map(({ sequence }) => sequence)
      await log.markPublished(sequences, epoch)
      after = sequences.at(-1) ?? after
      if (rows.length < batch) break
    }
    return isComplete || live.complete(epoch)
  }

  /** One sweep at a time. One that has begun may have looked already, so who asks meanwhile gets the next. */
  function publish(): Promise<boolean> {
    queued ??= running.then(() => {
      queued = undefined
      running = guarded()
      return running
    })
    return queued
  }

  async function guarded(): Promise<boolean> {
    try {
      const isDone = await sweep()
      failures = 0
      return isDone
    } catch (error) {
      if (failures++ === 0) warn({ err: error }, 'revocations are not published; trying again')
      return false
    }
  }

  function schedule(): void {
    if (isClosed) return
    timer = setTimeout(() => void publish().finally(schedule), everyMs)
  }

  return {
    /** Begins to sweep. */
    start(): void {
      void publish().finally(schedule)
    },
    /**
     * Publishes what was committed, now. True when a master has it and it was announced; false after `withinMs` or a
     * failure: then it goes out with a later sweep. Never rejects.
     */
    async flush(withinMs = 500): Promise<boolean> {
      let late: NodeJS.Timeout | undefined
      const timeout = new Promise<boolean>((resolve) => {
        late = setTimeout(resolve, withinMs, false)
      })
      try {
        return await Promise.race([publish(), timeout])
      } finally {
        clearTimeout(late)
      }
    },
    async close(): Promise<void> {
      isClosed = true
      clearTimeout(timer)
      await (queued ?? running)
    },
  }
}

export type RevocationPublisher = ReturnType<typeof revocationPublisher>
