import { isRefused } from './errors.ts'
import type { Log } from './log.ts'

/** `connecting`: not yet known. `down`: an attempt failed, or the connection broke; attempts go on. */
export type RedisState = 'connecting' | 'ready' | 'down'

export type StateListener = (state: RedisState) => void

/** The state of a connection; tells listeners, and the log, of changes only. */
export function createState({ name, log }: { name: string; log: Log }) {
  let state: RedisState = 'connecting'
  let refusalLogged = false
  let closed = false
  const listeners = new Set<StateListener>()

  function change(next: RedisState): boolean {
    if (state === next) return false
    state = next
    for (const listener of listeners) {
      try {
        listener(next)
      } catch (error) {
        log.error({ err: error, redis: name }, 'a listener to the state of Redis threw')
      }
    }
    return true
  }

  function onState(listener: StateListener): () => void {
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }

  return {
    current: () => state,
    onState,
    ready(where: string): void {
      if (closed) return
      refusalLogged = false
      if (change('ready')) log.info({ redis: name, server: where }, `Redis ${name} is ready`)
    },
    down(cause: Error | undefined): void {
      if (closed) return
      const reason = cause?.message ?? 'the connection was closed'
      const refused = isRefused(cause)
      if (!change('down') && (!refused || refusalLogged)) return
      refusalLogged = refused
      // Waiting does not heal a refusal, so it is worth a line of its own in an outage.
      if (refused) log.error({ redis: name, reason }, `Redis ${name} refuses us: ${reason}`)
      else log.warn({ redis: name, reason }, `Redis ${name} is away: ${reason}`)
    },
    /** For good, and no news. */
    close(): void {
      closed = true
      change('down')
    },
    /** Resolves to whether it is ready, after `timeoutMs` at the latest. */
    whenReady(timeoutMs: number): Promise<boolean> {
      if (state === 'ready' || closed) return Promise.resolve(state === 'ready')
      return new Promise((resolve) => {
        const settle = (result: boolean) => {
          clearTimeout(timer)
          stop()
          resolve(result)
        }
        const timer = setTimeout(() => settle(false), timeoutMs)
        const stop = onState((next) => {
          if (next === 'ready' || closed) settle(next === 'ready')
        })
      })
    },
  }
}

export type ConnectionState = ReturnType<typeof createState>
