import { isRefusal, type Shard } from '@wattle/redis'
import { createDeadlines } from './deadlines.ts'
import type { Statistics } from './statistics.ts'

/** Whose turn it is; see window.ts. */
type Turns = {
  ended(weight: number, how: 'answered' | 'failed'): void
  next(): void
  refuse(): void
}

export type Operation = { readonly name: string; readonly deadlineMs: number }

/** What is asked of one shard, each within its deadline; the circuit hears how it went. */
export function createAsking({
  shard: { circuit },
  statistics,
  now,
}: {
  shard: Shard
  statistics: Statistics
  now: () => number
}) {
  const deadlines = createDeadlines()
  const windows: Turns[] = []
  let answeredAtMs = -Infinity

  function failed(cause: unknown, weight: number, window: Turns | undefined): void {
    circuit.failed(cause)
    window?.ended(weight, 'failed')
  }

  /** Nothing was answered since then: whoever waits for a turn would wait in vain. */
  function goOn(startedMs: number): void {
    const isSilent = answeredAtMs < startedMs
    for (const one of windows) {
      if (isSilent) one.refuse()
      else one.next()
    }
  }

  return {
    /** Those of the shard, which hear when it falls silent. */
    windows,
    /** Calls `answered` with the reply, or with undefined after the deadline, or when it failed. */
    ask<T>(
      { name, deadlineMs }: Operation,
      sent: Promise<T>,
      answered: (reply: T | undefined) => void,
      window?: Turns,
      weight = 0,
    ): void {
      const startedMs = now()
      const waiter = {
        endsAtMs: performance.now() + deadlineMs,
        place: -1,
        late() {
          failed(new Error(`no answer to ${name} within ${deadlineMs} ms`), weight, window)
          answered(undefined)
          goOn(startedMs)
        },
      }
      deadlines.add(waiter)
      sent.then(
        (reply) => {
          if (!deadlines.done(waiter)) return
          circuit.succeeded()
          answeredAtMs = now()
          statistics.operation(name, answeredAtMs - startedMs)
          window?.ended(weight, 'answered')
          answered(reply)
          window?.next()
        },
        (cause: unknown) => {
          if (!deadlines.done(waiter)) return
          // Else it answered, but does not want to: memory is full, or it has lost its replicas.
          if (isRefusal(cause)) window?.ended(weight, 'answered')
          else failed(cause, weight, window)
          answered(undefined)
          if (isRefusal(cause)) window?.next()
          else goOn(startedMs)
        },
      )
    },
  }
}

export type Asking = ReturnType<typeof createAsking>
