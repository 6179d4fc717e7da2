import { AppError } from '@wattle/contracts'
import { createGate } from './gate.ts'

type Log = { warn(fields: object, message: string): void }

/**
 * Work that a caller must not wait for, since the time it takes would tell whether an account exists. Bounded, and so is
 * what waits; what fails, or finds no place, is logged.
 */
export function background({
  log,
  concurrency = 4,
  maxWaiting = 256,
}: {
  log: Log
  concurrency?: number
  maxWaiting?: number
}) {
  const gate = createGate({ concurrency, maxWaiting })
  const running = new Set<Promise<void>>()
  return {
    run(what: string, work: () => Promise<unknown>): void {
      const task = gate
        .run(work)
        .then(() => undefined)
        .catch((error: unknown) => {
          const err = error instanceof AppError ? (error.cause ?? error) : error
          log.warn({ err, what }, 'work in the background failed')
        })
        .finally(() => running.delete(task))
      running.add(task)
    },
    /** Resolves when nothing is under way. */
    async settled(): Promise<void> {
      while (running.size > 0) await Promise.all(running)
    },
  }
}

export type Background = ReturnType<typeof background>
