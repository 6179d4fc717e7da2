import { setTimeout as delay } from 'node:timers/promises'

export type Loop = {
  /** Lets the present round finish, and begins no other. */
  stop(): Promise<void>
}

/**
 * Calls `round` again and again: at once while it returns true (there is more to do), else after `everyMs` with ±20 % of
 * jitter. A round that rejects is logged, the first of a row only, and followed by a pause.
 */
export function startLoop(deps: {
  name: string
  everyMs: number
  round: () => Promise<boolean>
  log: {
    info(details: object, message: string): void
    warn(details: object, message: string): void
  }
  random: () => number
}): Loop {
  const { name, everyMs, round, log, random } = deps
  const stopping = new AbortController()
  let isFailing = false

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      let hasMore = false
      try {
        hasMore = await round()
        if (isFailing) log.info({ loop: name }, 'goes on again')
        isFailing = false
      } catch (error) {
        if (!isFailing) log.warn({ err: error, loop: name }, 'failed; tries again')
        isFailing = true
      }
      if (hasMore) continue
      const waitMs = (isFailing ? Math.max(everyMs, 1_000) : everyMs) * (0.8 + 0.4 * random())
      await delay(waitMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }

  const running = run()
  return {
    stop() {
      stopping.abort()
      return running
    },
  }
}
