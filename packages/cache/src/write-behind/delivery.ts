import { textOf } from '../text-of.ts'
import type { Change } from './change.ts'
import { changeOf, withoutValue, type Held } from './held.ts'
import type { Parts } from './parts.ts'

/** What the source is given: changes of different keys, and what the writer knows of its own standing. */
export type Write<V> = (
  changes: readonly Change<V>[],
  call: {
    /** Aborted when the write takes too long, or another process may be writing: stop then. */
    readonly signal: AbortSignal
    /** Fencing token of this process's turn as writer. */
    readonly token: number
  },
) => Promise<void>

export type RetryOptions = {
  /** After so many failed attempts of its own a change goes to the dead letters. Default 10. */
  maxAttempts: number
  /** Before the second attempt; twice, four times … that before later ones. Default 100. */
  baseMs: number
  /** Longest time between two attempts. Default 30,000. */
  longestMs: number
}

/** The source is away: nothing can be written, and no change is to blame. */
export class SourceAwayError extends Error {
  override readonly name = 'SourceAwayError'
}

/**
 * Writes what is held to the source, and brings it to its end. Rejects with SourceAwayError, with the signal's reason, or
 * when Redis does not serve; then what is held stays with the writer, to be written again.
 */
export function createDelivery<V>({
  settings: { name, write, isOutage, retry, writeTimeoutMs },
  journal,
  held,
  invalidate,
  counts,
  log,
  now,
  random,
}: Parts<V>) {
  type Call = { signal: AbortSignal; token: number }

  async function deliver(batch: readonly Held[], call: Call): Promise<void> {
    // A process that was frozen may have the lock no longer.
    call.signal.throwIfAborted()
    const failure = await attempt(batch, call)
    // Another may be the writer now: it will find everything where it was.
    call.signal.throwIfAborted()
    if (!failure) return finish(batch)
    const { cause } = failure
    counts.add('failures')
    if (isOutage(cause)) throw new SourceAwayError(`the source of ${name} is away`, { cause })
    const [only, second] = batch
    if (only && !second) return failed(only, cause)
    // One of them may be at fault: each by itself, in order.
    for (const one of batch) await deliver([one], call)
  }

  /** Another attempt at a change that the source has refused, by itself. Whether the source was asked. */
  async function again(one: Held, call: Call): Promise<boolean> {
    const entry = await journal.entry(one.newest.id)
    if (!entry) {
      // Somebody has taken it out of the stream: there is nothing to write.
      await finish([one])
      return false
    }
    one.newest = entry
    await deliver([one], call).finally(() => (one.newest = withoutValue(entry)))
    return true
  }

  async function attempt(
    batch: readonly Held[],
    call: Call,
  ): Promise<{ cause: unknown } | undefined> {
    const late = AbortSignal.timeout(writeTimeoutMs)
    const signal = AbortSignal.any([call.signal, late])
    const aborted = Promise.withResolvers<never>()
    const onAbort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    counts.add('retries', batch.filter((one) => one.wasTried).length)
    const beganMs = now()
    try {
      const changes = batch.map((one) => changeOf<V>(one))
      await Promise.race([write(changes, { ...call, signal }), aborted.promise])
      counts.add('batches')
      counts.add('written', batch.length)
      return undefined
    } catch (cause) {
      // Who has lost the lock says nothing of the source, and must not blame a change that another has now.
      if (late.aborted && !call.signal.aborted)
        throw new SourceAwayError(`the source of ${name} does not answer`, { cause })
      return { cause }
    } finally {
      for (const one of batch) one.wasTried = true
      counts.wrote(now() - beganMs)
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** The order matters: see the essay in write-behind.ts. */
  async function finish(batch: readonly Held[]): Promise<void> {
    await journal.settle(batch.map(({ encoded, newest }) => ({ encoded, version: newest.version })))
    await drop(batch.flatMap(({ encoded, ids }) => ids.map((id) => ({ encoded, id }))))
    held.remove(batch)
  }

  /** For entries whose marks are off. */
  async function drop(entries: readonly { encoded: string; id: string }[]): Promise<void> {
    await invalidate([...new Set(entries.map(({ encoded }) => encoded))])
    await journal.forget(entries.map(({ id }) => id))
  }

  async function failed(one: Held, cause: unknown): Promise<void> {
    const attempts = one.attempts + 1
    const message = textOf(cause)
    const about = { writes: name, key: one.encoded, version: one.newest.version, err: cause }
    if (attempts >= retry.maxAttempts && (await bury(one, message, attempts))) return
    const ceilingMs = Math.min(retry.longestMs, retry.baseMs * 2 ** Math.min(attempts - 1, 30))
    const againInMs = ceilingMs * (0.5 + 0.5 * random())
    // What it overtook is not going to be written, whatever becomes of it.
    const overtaken = held.refused(one, now() + againInMs)
    if (overtaken.length > 0) await journal.forget(overtaken)
    log.warn({ ...about, attempts, againInMs }, `a change of ${name} cannot be written: ${message}`)
  }

  /** Whether there was room among the dead letters. */
  async function bury(one: Held, cause: string, attempts = one.attempts): Promise<boolean> {
    const { version } = one.newest
    const about = { writes: name, key: one.encoded, version, attempts, cause }
    if (!(await journal.bury(version, cause, attempts))) {
      log.error(
        about,
        `a change of ${name} cannot be written, and the dead letters are full: look at them, and redrive or discard some`,
      )
      return false
    }
    counts.add('dead')
    log.error(about, `a change of ${name} went to the dead letters: ${cause}`)
    await drop(one.ids.map((id) => ({ encoded: one.encoded, id })))
    held.remove([one])
    return true
  }

  return { deliver, again, failed, drop, bury }
}

export type Delivery = ReturnType<typeof createDelivery>
