export type CircuitState = 'closed' | 'open'

/**
 * Closed: Redis is asked. One failure opens it: from then on nobody waits for Redis, and a probe in the background,
 * which no caller pays for, closes it again. `probe` resolves to whether Redis answers in time; it never rejects.
 */
export function createCircuit({
  probe,
  everyMs,
  onChange,
}: {
  probe: () => Promise<boolean>
  everyMs: number
  onChange: (state: CircuitState, cause?: unknown) => void
}) {
  let state: CircuitState = 'closed'
  let timer: NodeJS.Timeout | undefined
  let probing = false
  let closed = false

  function schedule(): void {
    if (closed) return
    timer = setTimeout(() => void attempt(), everyMs)
    timer.unref()
  }

  async function attempt(): Promise<void> {
    if (probing || state === 'closed' || closed) return
    clearTimeout(timer)
    probing = true
    const answered = await probe()
    probing = false
    if (!answered) return schedule()
    state = 'closed'
    onChange(state)
  }

  return {
    get isOpen() {
      return state === 'open'
    },
    open(cause: unknown): void {
      if (state === 'open') return
      state = 'open'
      onChange(state, cause)
      schedule()
    },
    /** Something says that Redis is back: asks now instead of later. */
    hurry: () => void attempt(),
    stop(): void {
      closed = true
      clearTimeout(timer)
    },
  }
}
