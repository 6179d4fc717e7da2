const firstMs = 200
const longestMs = 10_000
/** What ran this long was healthy: its next fall counts as the first. */
const healthyMs = 15_000

/** How long to wait before something that fell is started again: 0.2 s, doubled each time, 10 s at most. */
export function createBackoff(now: () => number = () => performance.now()) {
  let nextMs = firstMs
  let startedAt = now()
  return {
    started() {
      startedAt = now()
    },
    delayMs() {
      if (now() - startedAt >= healthyMs) nextMs = firstMs
      const delayMs = nextMs
      nextMs = Math.min(nextMs * 2, longestMs)
      return delayMs
    },
    reset() {
      nextMs = firstMs
    },
  }
}

/** `0.2 s`, `10 s`. */
export function seconds(ms: number): string {
  return `${ms < 9_950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s`
}
