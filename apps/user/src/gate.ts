import { AppError } from '@wattle/contracts'

/** Lets a bounded number of tasks run at once and a bounded number wait. */
export type Gate = {
  /**
   * Runs `work` when its turn comes. Throws TOO_MANY_REQUESTS at once when too many are waiting, and the reason of
   * `signal` when that aborts before the turn comes; work that has begun runs to its end.
   */
  run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>
}

type Waiting = { readonly start: () => void }

export function createGate(options: { concurrency: number; maxWaiting: number }): Gate {
  const { concurrency, maxWaiting } = options
  const waiting = new Set<Waiting>()
  let running = 0

  function turn(signal: AbortSignal | undefined): Promise<void> {
    if (running < concurrency) {
      running++
      return Promise.resolve()
    }
    if (waiting.size >= maxWaiting) {
      throw new AppError('TOO_MANY_REQUESTS', 'Too many people are logging in at the moment.', {
        retryAfterSeconds: 2,
      })
    }
    return new Promise((resolve, reject) => {
      const place: Waiting = {
        start: () => {
          signal?.removeEventListener('abort', giveUp)
          resolve()
        },
      }
      const giveUp = () => {
        waiting.delete(place)
        reject(signal?.reason as Error)
      }
      signal?.addEventListener('abort', giveUp, { once: true })
      waiting.add(place)
    })
  }

  /** Hands the place of who has finished to who waits longest. */
  function leave(): void {
    const [next] = waiting
    if (next === undefined) {
      running--
      return
    }
    waiting.delete(next)
    next.start()
  }

  return {
    async run(work, signal) {
      signal?.throwIfAborted()
      await turn(signal)
      try {
        return await work()
      } finally {
        leave()
      }
    },
  }
}
