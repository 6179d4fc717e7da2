import { setTimeout as wait } from 'node:timers/promises'

export interface EventuallyOptions {
  /** Default 5000. */
  withinMs?: number
  /** Default 20. */
  everyMs?: number
}

/**
 * Calls `check` again and again until it neither throws nor rejects, and returns what it returned.
 * When the time is over, fails with the last error of `check`. Put the `expect` inside.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { withinMs = 5000, everyMs = 20 }: EventuallyOptions = {},
): Promise<T> {
  const deadline = performance.now() + withinMs
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() >= deadline) {
        if (error instanceof Error) error.message += ` (still so after ${withinMs} ms)`
        throw error
      }
    }
    await wait(everyMs)
  }
}
