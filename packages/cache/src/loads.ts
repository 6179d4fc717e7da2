/** A loader took longer than the kind's hard timeout. The load itself cannot be stopped; its value is not kept. */
export class LoadTimeoutError extends Error {
  override readonly name = 'LoadTimeoutError'
  readonly code = 'load_timeout'
}

type Running = {
  endsAtMs: number
  nextBeatMs: number
  beat?: (() => void) | undefined
  late: () => void
}

/**
 * Runs loaders, no more than `most` at once: while Redis is away every read is a load, and the source must not be
 * overrun. Who has to wait does so in order; waiting counts towards the timeout.
 */
export function createLoads({ most, now }: { most: number; now: () => number }) {
  const running = new Set<Running>()
  const queue: (() => void)[] = []
  let active = 0
  let timer: NodeJS.Timeout | undefined

  /** One timer for all loads, while there are any: one for each would cost more than the load of a cheap source. */
  function look(): void {
    const nowMs = now()
    for (const one of running) {
      if (nowMs >= one.endsAtMs) one.late()
      else if (one.beat && nowMs >= one.nextBeatMs) {
        one.nextBeatMs = nowMs + beatMs
        one.beat()
      }
    }
    if (running.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  function leave(): void {
    active--
    while (active < most) {
      const next = queue.shift()
      if (!next) return
      next()
    }
  }

  return {
    get active() {
      return active
    },
    get waiting() {
      return queue.length
    },
    /** Calls `done` or `failed` once. `beat` is called twice a second while it lasts. */
    run(
      load: () => unknown,
      { kind, timeoutMs }: { kind: string; timeoutMs: number },
      callbacks: {
        done: (value: unknown) => void
        failed: (cause: unknown) => void
        beat?: (() => void) | undefined
      },
    ): void {
      const startedMs = now()
      const one: Running = {
        endsAtMs: startedMs + timeoutMs,
        nextBeatMs: startedMs + beatMs,
        beat: callbacks.beat,
        late: () => {
          // Its place is given to others: a loader that never ends must not keep it for ever.
          if (running.delete(one) && begun) leave()
          callbacks.failed(
            new LoadTimeoutError(
              `the load of ${kind} took longer than ${timeoutMs} ms: its source is slow, or its hardTimeout short`,
            ),
          )
        },
      }
      running.add(one)
      timer ??= setInterval(look, lookMs).unref()
      let begun = false
      const settle = (report: () => void) => {
        if (!running.delete(one)) return
        leave()
        report()
      }
      const begin = () => {
        // It was given up while it waited.
        if (!running.has(one)) return
        begun = true
        active++
        let loading: Promise<unknown>
        try {
          loading = Promise.resolve(load())
        } catch (cause) {
          return settle(() => callbacks.failed(cause))
        }
        loading.then(
          (value) => settle(() => callbacks.done(value)),
          (cause: unknown) => settle(() => callbacks.failed(cause)),
        )
      }
      if (active < most) begin()
      else queue.push(begin)
    },
  }
}

export type Loads = ReturnType<typeof createLoads>

const lookMs = 50
const beatMs = 500
