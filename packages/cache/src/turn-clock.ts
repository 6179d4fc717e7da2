/** Milliseconds of a clock that never goes back. */
export interface Clock {
  nowMs(): number
}

const readsPerLook = 8

/**
 * The time, looked at once for several reads: a look costs half of what a hit may cost.
 *
 * The time that was looked at serves at most eight reads, all in the same turn of the event loop. So after the process
 * stood still, be it frozen or busy, the first read of the next turn looks again.
 */
export class TurnClock implements Clock {
  #ms = 0
  #left = 0
  #armed = false
  readonly #endTurn = () => {
    this.#armed = false
    this.#left = 0
  }

  nowMs(): number {
    if (this.#left > 0) {
      this.#left--
      return this.#ms
    }
    this.#ms = performance.now()
    this.#left = readsPerLook - 1
    if (!this.#armed) {
      this.#armed = true
      setImmediate(this.#endTurn)
    }
    return this.#ms
  }
}
