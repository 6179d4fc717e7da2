/** Something that waits for an answer; `endsAtMs` is on the clock of `performance.now()`. */
export type Waiter = { endsAtMs: number; late(): void }

export type Deadlines = {
  add(waiter: Waiter): void
  /** The answer is there. */
  done(waiter: Waiter): void
}

const lookMs = 10

/**
 * One timer for all who wait, while there are any: a timer of its own costs each more than the rest of a read. A waiter is
 * told up to 10 ms late.
 */
export function createDeadlines(): Deadlines {
  const waiting = new Set<Waiter>()
  let timer: NodeJS.Timeout | undefined

  function look(): void {
    const nowMs = performance.now()
    for (const waiter of waiting) {
      if (nowMs < waiter.endsAtMs) continue
      // When it was this process that stood still, the answer may be there: it is read before immediates run.
      setImmediate(() => {
        if (waiting.delete(waiter)) waiter.late()
      })
    }
    if (waiting.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    add(waiter) {
      waiting.add(waiter)
      timer ??= setInterval(look, lookMs)
    },
    done: (waiter) => void waiting.delete(waiter),
  }
}
