import { durationMs } from '../duration.ts'
import { longestTimerMs } from '../number-option.ts'
import { LockHeldError, LockLostError } from './errors.ts'
import type { Lock, LockOptions } from './locks.ts'

/** What work under a lock gets. */
export type HeldWork = {
  /** Aborted, with a LockLostError, when the lock is no longer held. */
  readonly signal: AbortSignal
  /** The fencing token. */
  readonly token: number
}

/** See `Locks.withLock`. */
export async function workWithin<T>({
  acquire,
  name,
  options: { ttl, wait },
  work,
  now,
}: {
  acquire: () => Promise<Lock | undefined>
  name: string
  options: LockOptions
  work: (held: HeldWork) => Promise<T>
  now: () => number
}): Promise<T> {
  const lock = await acquire()
  if (!lock) {
    throw new LockHeldError(
      `the lock ${name} is held by another${wait === undefined ? '' : ` and was not freed within ${wait}`}: try again later, or wait longer`,
    )
  }
  const lost = new AbortController()
  const stop = keepExtending({ lock, ttlMs: durationMs(`ttl of lock ${name}`, ttl), now, lose })
  function lose(why: string): void {
    if (!lost.signal.aborted) lost.abort(new LockLostError(`the lock ${name} was lost: ${why}`))
  }
  try {
    const result = await work({ signal: lost.signal, token: lock.token })
    // A process that stood still has not been told yet.
    if (now() >= lock.heldUntilMs) lose('its time was over before the work was')
    lost.signal.throwIfAborted()
    return result
  } finally {
    stop()
    await lock.release()
  }
}

/** Extends the lock every third of its TTL; calls `lose` when it is another's, and the moment its time is over. */
function keepExtending({
  lock,
  ttlMs,
  now,
  lose,
}: {
  lock: Lock
  ttlMs: number
  now: () => number
  lose: (why: string) => void
}): () => void {
  let stopped = false
  let nextExtension: NodeJS.Timeout
  let end: NodeJS.Timeout
  const leftMs = () => lock.heldUntilMs - now()

  async function extend(): Promise<void> {
    const extended = await lock.extend().catch(() => undefined)
    if (stopped) return
    if (extended === false) lose('its time was over, or it was released')
    // Where Redis was away: soon again, while there is time.
    else extendIn(extended ? ttlMs / 3 : Math.min(ttlMs / 3, 100))
  }
  function extendIn(ms: number): void {
    nextExtension = setTimeout(() => void extend(), Math.min(ms, longestTimerMs))
  }
  // An extension may be waiting for an answer at that time.
  function awaitEnd(): void {
    if (leftMs() <= 0) return lose('Redis could not be asked to extend it in time')
    end = setTimeout(awaitEnd, Math.min(leftMs(), longestTimerMs))
  }
  extendIn(ttlMs / 3)
  awaitEnd()
  return () => {
    stopped = true
    clearTimeout(nextExtension)
    clearTimeout(end)
  }
}
