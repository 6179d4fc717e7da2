export interface FakeClock {
  /** Milliseconds since the epoch, as `Date.now`. */
  now(): number
  /** Moves time forward. */
  advance(ms: number): void
  /** Sets the time, backwards too: clocks of machines do that. */
  set(ms: number): void
}

/** A clock that stands still until the test moves it. Starts at 2026-01-01T00:00:00Z. */
export function fakeClock(startMs: number = Date.UTC(2026, 0, 1)): FakeClock {
  let currentMs = startMs
  return {
    now: () => currentMs,
    advance(ms) {
      if (!(ms >= 0)) throw new Error(`a clock cannot be advanced by ${ms} ms; use set`)
      currentMs += ms
    },
    set(ms) {
      currentMs = ms
    },
  }
}
