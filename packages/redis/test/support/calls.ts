/** Counts calls that have not settled, and how those that have ended. */
export function callCounter() {
  let pending = 0
  let slowestMs = 0
  let succeeded = 0
  const errors = new Map<string, number>()
  return {
    track(call: Promise<unknown>): void {
      const started = performance.now()
      pending += 1
      call
        .then(
          () => (succeeded += 1),
          (error: Error) => errors.set(error.message, (errors.get(error.message) ?? 0) + 1),
        )
        .finally(() => {
          pending -= 1
          slowestMs = Math.max(slowestMs, performance.now() - started)
        })
    },
    pending: () => pending,
    slowestMs: () => slowestMs,
    succeeded: () => succeeded,
    failed: () => [...errors.values()].reduce((sum, count) => sum + count, 0),
    errors,
  }
}
