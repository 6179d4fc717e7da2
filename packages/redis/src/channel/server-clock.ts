/** The server's clock as far as this process knows it, so that no two processes need to agree about the time. */
export function createServerClock({ now, wallNow }: { now: () => number; wallNow: () => number }) {
  let offsetMs = wallNow() - now()
  let roundTripMs = Infinity
  return {
    /** Milliseconds since 1970 at the server; the process's own clock before the first sample. */
    nowMs: () => now() + offsetMs,
    /** A server time, somewhere between sending and receiving. The quickest answer tells it best. */
    sample(serverMs: number, sentAtMs: number, receivedAtMs: number): void {
      const took = receivedAtMs - sentAtMs
      // Clocks drift: an old sample counts for less and less.
      roundTripMs *= 1.05
      if (took > roundTripMs) return
      roundTripMs = took
      offsetMs = serverMs - (sentAtMs + receivedAtMs) / 2
    },
  }
}
