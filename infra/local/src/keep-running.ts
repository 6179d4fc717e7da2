import { setTimeout as delay } from 'node:timers/promises'
import { createBackoff, seconds } from './backoff.ts'
import type { Output } from './output.ts'
import { wordsFor } from './problem.ts'

/**
 * Starts a server again whenever it ends, with backoff and a line for each, until the signal aborts. `start` may take its
 * time (a Redis that was master waits for its successor) and may fail; it is tried again.
 */
export async function keepRunning(options: {
  name: string
  /** Resolves when what runs now has ended, with words for how; at once when nothing runs. */
  ended: () => Promise<string>
  start: () => Promise<void>
  /** Words for the line that says it is back, such as its role. */
  back?: () => Promise<string>
  signal: AbortSignal
  output: Pick<Output, 'say' | 'warn'>
}): Promise<void> {
  const { name, ended, start, back, signal, output } = options
  const backoff = createBackoff()
  for (;;) {
    let reason = await ended()
    for (;;) {
      if (signal.aborted) return
      const delayMs = backoff.delayMs()
      output.warn(`${name} ${reason}; it is started again in ${seconds(delayMs)}`)
      await delay(delayMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      try {
        await start()
        break
      } catch (error) {
        reason = `does not start (${wordsFor(error)})`
      }
    }
    backoff.started()
    output.say(`${name} runs again${back ? ` ${await back()}` : ''}`)
  }
}

/** `ended (SIGKILL)`, `ended (exit code 1)`. */
export function endingWords(
  exit: { code: number | null; signal: string | null } | undefined,
): string {
  if (!exit) return 'ended'
  return `ended (${exit.signal ?? `exit code ${exit.code}`})`
}
