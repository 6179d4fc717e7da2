import type { Client } from './client.ts'
import { isRefused } from './errors.ts'
import type { Log } from './log.ts'

export type MessageListener = (message: string, channel: string) => void

export interface Subscriber {
  /**
   * Calls `listener` with each message on `channel`, across reconnections, until the returned function is called.
   * Resolves when the server has confirmed it, or at once while Redis is away: it then takes effect on return.
   * Rejects when the server refuses (rights). Redis does not keep messages: what is published between a broken
   * connection and `onActive` is lost.
   */
  subscribe(channel: string, listener: MessageListener): Promise<() => void>
  /** The same for all channels that match a glob pattern, which must be granted literally. */
  subscribePattern(pattern: string, listener: MessageListener): Promise<() => void>
  /** Whether every subscription stands on the present connection. */
  readonly active: boolean
  /** Calls back each time all subscriptions stand again: from now on messages arrive, earlier ones may be missing. */
  onActive(listener: () => void): () => void
  /** Milliseconds to the server and back; rejects without an answer. */
  ping(): Promise<number>
}

type Kind = 'subscribe' | 'psubscribe'

/** Subscriptions as wanted state on one connection that may break at any time. */
export function createSubscriber({
  client,
  ping,
  name,
  log,
}: {
  client: Client
  ping: () => Promise<number>
  name: string
  log: Log
}): Subscriber {
  const { redis, link } = client
  const wanted = {
    subscribe: new Map<string, Set<MessageListener>>(),
    psubscribe: new Map<string, Set<MessageListener>>(),
  }
  const activeListeners = new Set<() => void>()
  let active = false
  let connection = 0

  redis.on('message', (channel, message) => {
    deliver(wanted.subscribe.get(channel), message, channel)
  })
  redis.on('pmessage', (pattern, channel, message) => {
    deliver(wanted.psubscribe.get(pattern), message, channel)
  })
  redis.on('close', () => {
    active = false
    connection += 1
  })
  redis.on('ready', () => void restore())

  function deliver(listeners: Set<MessageListener> | undefined, message: string, channel: string) {
    for (const listener of listeners ?? []) {
      guarded(() => listener(message, channel))
    }
  }

  function guarded(action: () => void): void {
    try {
      action()
    } catch (error) {
      log.error({ err: error, redis: name }, 'a listener of a Redis subscription threw')
    }
  }

  async function restore(): Promise<void> {
    const mine = connection
    try {
      await Promise.all([restoreKind('subscribe'), restoreKind('psubscribe')])
    } catch (error) {
      if (mine === connection) link.sever(`could not subscribe: ${String(error)}`)
      return
    }
    if (mine !== connection) return
    active = true
    for (const listener of activeListeners) guarded(listener)
  }

  async function restoreKind(kind: Kind): Promise<void> {
    const channels = [...wanted[kind].keys()]
    if (channels.length === 0) return
    try {
      await redis[kind](...channels)
    } catch (error) {
      if (!isRefused(error)) throw error
      // One that is refused takes the others of its call with it.
      for (const channel of channels) {
        await redis[kind](channel).catch((cause: unknown) => {
          if (!isRefused(cause)) throw cause
          log.error({ err: cause, redis: name, channel }, `Redis ${name} refuses a subscription`)
        })
      }
    }
  }

  async function add(kind: Kind, channel: string, listener: MessageListener) {
    const existing = wanted[kind].get(channel)
    const listeners = existing ?? new Set()
    listeners.add(listener)
    wanted[kind].set(channel, listeners)
    const remove = () => {
      if (!listeners.delete(listener) || listeners.size > 0) return
      if (wanted[kind].get(channel) === listeners) wanted[kind].delete(channel)
      if (redis.status === 'ready') {
        redis[kind === 'subscribe' ? 'unsubscribe' : 'punsubscribe'](channel).catch(() => {})
      }
    }
    if (redis.status === 'ready') {
      const mine = connection
      try {
        await redis[kind](channel)
      } catch (error) {
        if (isRefused(error)) {
          remove()
          throw error
        }
        if (mine === connection) link.sever(`could not subscribe: ${String(error)}`)
      }
    }
    return remove
  }

  return {
    subscribe: (channel, listener) => add('subscribe', channel, listener),
    subscribePattern: (pattern, listener) => add('psubscribe', pattern, listener),
    get active() {
      return active
    },
    onActive(listener) {
      activeListeners.add(listener)
      return () => void activeListeners.delete(listener)
    },
    ping,
  }
}
