export type CircuitState = 'closed' | 'half-open' | 'open'

/**
 * Keeps callers from waiting for a Redis that does not answer: after `failures` failed operations in a row it
 * refuses for `openMs`, then lets one probe through, and closes when the probe succeeds.
 */
export function createCircuit({
  failures,
  openMs,
  now,
}: {
  failures: number
  openMs: number
  now: () => number
}) {
  let failedInARow = 0
  let openUntilMs = 0
  let probing = false

  const state = (): CircuitState =>
    failedInARow < failures ? 'closed' : now() < openUntilMs || probing ? 'open' : 'half-open'

  return {
    state,
    /** Whether an operation may be sent now. A caller that gets true must report its end. */
    tryEnter(): boolean {
      const present = state()
      if (present === 'half-open') probing = true
      return present !== 'open'
    },
    succeeded(): void {
      failedInARow = 0
      probing = false
    },
    failed(): void {
      failedInARow++
      probing = false
      openUntilMs = now() + openMs
    },
  }
}
