export type CircuitState = 'closed' | 'open'

export interface Circuit {
  readonly state: CircuitState
  /** An operation of a caller was answered, or was not. */
  succeeded(): void
  failed(cause: unknown): void
  /** The probe was answered in time: callers may send again. */
  probed(): void
}

/**
 * Keeps callers from waiting for a Redis that does not answer: after `failures` operations in a row that failed it is
 * open, and callers send nothing. No caller pays for finding out that Redis is back: a heartbeat does, see `probed`.
 */
export function createCircuit({
  failures,
  onChange,
}: {
  failures: number
  onChange: (state: CircuitState, cause?: unknown) => void
}): Circuit {
  let inARow = 0
  let state: CircuitState = 'closed'
  return {
    get state() {
      return state
    },
    succeeded() {
      inARow = 0
    },
    failed(cause) {
      inARow += 1
      if (inARow < failures || state === 'open') return
      state = 'open'
      onChange(state, cause)
    },
    probed() {
      inARow = 0
      if (state === 'closed') return
      state = 'closed'
      onChange(state)
    },
  }
}
