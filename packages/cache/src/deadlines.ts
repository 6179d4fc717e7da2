/** Something that waits for an answer. */
export type Waiter = {
  /** On the clock of `performance.now()`. */
  readonly endsAtMs: number
  /** Among those who wait; -1 at first. */
  place: number
  late(): void
}

export type Deadlines = {
  add(waiter: Waiter): void
  /** The answer is there; false when it was told before that it is late. */
  done(waiter: Waiter): boolean
}

const lookMs = 10

/**
 * One timer for all who wait, while there are any: a timer of its own costs each more than the rest of a read. A waiter is
 * told up to 10 ms late.
 */
export function createDeadlines(): Deadlines {
  // An array and no Set, for what flights.ts says of Maps.
  const waiting: Waiter[] = []
  let timer: NodeJS.Timeout | undefined

  function remove(waiter: Waiter): boolean {
    const { place } = waiter
    if (place < 0) return false
    waiter.place = -1
    const last = waiting.pop()
    if (last && last !== waiter) {
      waiting[place] = last
      last.place = place
    }
    return true
  }

  function look(): void {
    const nowMs = performance.now()
    for (const waiter of waiting) {
      if (nowMs < waiter.endsAtMs) continue
      // When it was this process that stood still, the answer may be there: it is read before immediates run.
      setImmediate(() => {
        if (remove(waiter)) waiter.late()
      })
    }
    if (waiting.length > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    add(waiter) {
      waiter.place = waiting.push(waiter) - 1
      timer ??= setInterval(look, lookMs)
    },
    done: remove,
  }
}
