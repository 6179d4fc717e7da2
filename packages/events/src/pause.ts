/** Waiting that can be cut short: by `wake`, and for good by the signal. */
export function createPause(signal: AbortSignal) {
  const sleepers = new Set<() => void>()
  const wake = () => {
    for (const end of sleepers) end()
  }
  signal.addEventListener('abort', wake, { once: true })
  return {
    /** Ends the waits of this moment. */
    wake,
    pause(ms: number): Promise<void> {
      if (signal.aborted) return Promise.resolve()
      return new Promise((resolve) => {
        const end = () => {
          clearTimeout(timer)
          sleepers.delete(end)
          resolve()
        }
        const timer = setTimeout(end, ms)
        sleepers.add(end)
      })
    },
  }
}

export type Pause = ReturnType<typeof createPause>['pause']

/**
 * Before attempt `attempt + 1`: `baseMs`, twice, four times … that, at most `longestMs`, of which up to half is left
 * off at random, so that what failed together does not come back in step.
 */
export function backoffMs(
  attempt: number,
  { baseMs, longestMs }: { baseMs: number; longestMs: number },
  random: () => number,
): number {
  const ceilingMs = Math.min(longestMs, baseMs * 2 ** Math.min(attempt - 1, 30))
  return ceilingMs * (0.5 + 0.5 * random())
}
