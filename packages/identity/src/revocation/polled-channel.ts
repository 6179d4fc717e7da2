import { performance } from 'node:perf_hooks'
import { defineScript, type KeySpace, type RedisConnection } from '@wattle/redis'
import type { Channel, ChannelListener } from './channel.ts'

const issueScript = defineScript(new URL('./issue.lua', import.meta.url))
const pollScript = defineScript(new URL('./poll.lua', import.meta.url))

/** So that a reply stays small, also to who was away while thousands came. */
const messagesAtOnce = 100

export type PolledChannelOptions = {
  readonly redis: Pick<RedisConnection, 'run' | 'subscriber' | 'onState'>
  /** Of the service that issues, also where others listen. */
  readonly keys: KeySpace
  readonly name: string
  readonly listener: ChannelListener
  /** How long a proof holds; longer than a heartbeat and a call. */
  readonly trustWindowMs?: number
  readonly heartbeatMs?: number
  /** Messages kept in Redis for those who were away. */
  readonly keptMessages?: number
  readonly now?: () => number
  readonly log?: { warn(fields: object, message: string): void }
}

/**
 * A channel of one shard. Its log is a stream; every heartbeat each process asks, in one script, for the epoch (the
 * master's replication id) and for what it has missed. Pub/sub only wakes it for the next question, so that nothing
 * depends on a message that Redis may drop: with it a message arrives in about a millisecond, without it at the next
 * heartbeat. A question that was answered proves that nothing was missing at the moment it was sent; the proof holds for
 * `trustWindowMs`. Another epoch, a log that went backwards, or one that does not reach back far enough is a loss.
 */
export function polledChannel(options: PolledChannelOptions): Channel {
  const { redis, keys, name, listener, log } = options
  const { trustWindowMs = 1_000, heartbeatMs = 300, keptMessages = 2_000 } = options
  const { now = () => performance.now() } = options
  const key = keys.key(`${name}-log`)
  const wakeChannel = keys.channel(name)
  let known = { epoch: '', id: '0-0' }
  let provedAtMs = -Infinity
  let running: Promise<void> | undefined
  let again = false
  let isClosed = false
  let isQuiet = false

  async function ask(): Promise<void> {
    const sentAtMs = now()
    const args = [known.epoch, known.id, keptMessages, messagesAtOnce]
    const reply = await redis.run(pollScript, { keys: [key], args })
    const [epoch, id, more, ...payloads] = reply as [string, string, number, ...string[]]
    if (isClosed) return
    known = { epoch, id }
    isQuiet = false
    if (more === -1) listener.lost(0)
    else for (const payload of payloads) listener.message(0, payload)
    if (more === 1) again = true
    else provedAtMs = sentAtMs
  }

  function poll(): void {
    if (isClosed) return
    if (running !== undefined) {
      again = true
      return
    }
    running = ask()
      .catch((error: unknown) => {
        if (!isQuiet) log?.warn({ err: error, channel: name }, 'a channel is not synchronized')
        isQuiet = true
      })
      .finally(() => {
        running = undefined
        if (!again) return
        again = false
        poll()
      })
  }

  const timer = setInterval(poll, heartbeatMs)
  const offState = redis.onState((state) => {
    if (state === 'ready') poll()
  })
  const subscription = redis.subscriber().subscribe(wakeChannel, poll)
  subscription.catch((error: unknown) => {
    log?.warn({ err: error, channel: name }, 'a channel has only its heartbeat to learn by')
  })
  poll()

  return {
    async issue({ payload }) {
      try {
        await redis.run(issueScript, { keys: [key], args: [payload, keptMessages, wakeChannel] })
        return 'applied'
      } catch (error) {
        log?.warn({ err: error, channel: name }, 'a message could not be issued')
        return 'deferred'
      }
    },
    trustedUntilMs: () => provedAtMs + trustWindowMs,
    async close() {
      isClosed = true
      clearInterval(timer)
      offState()
      await subscription.then(
        (unsubscribe) => unsubscribe(),
        () => undefined,
      )
      await running
    },
  }
}
