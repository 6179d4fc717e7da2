/** Waiting that can be cut short: by `wake`, or by a signal. */
export function createPause() {
  const sleepers = new Set<() => void>()
  return {
    wake(): void {
      for (const end of sleepers) end()
    },
    pause(ms: number, signal: AbortSignal): Promise<void> {
      if (signal.aborted) return Promise.resolve()
      return new Promise((resolve) => {
        const end = () => {
          clearTimeout(timer)
          sleepers.delete(end)
          signal.removeEventListener('abort', end)
          resolve()
        }
        const timer = setTimeout(end, ms)
        signal.addEventListener('abort', end, { once: true })
        sleepers.add(end)
      })
    },
  }
}
