import type { RedisConnection } from '../connection.ts'
import type { KeySpace } from '../keys.ts'
import { silentLog, type Log } from '../log.ts'
import type { Announcement } from './ring.ts'
import { Shard } from './shard.ts'
import type { Issued } from './shard-options.ts'

export interface ChannelListener {
  /** A message, each at least once, in order while nothing is missed. Must not throw. */
  apply(payload: string, shard: Shard): void
  /** Messages may be missing: everything that was derived from this shard's messages is to be dropped. */
  lost(shard: Shard): void
  /** Something said in passing, without a number: see `Channel.name`. */
  signal?(text: string, shard: Shard): void
  /** The shard became trusted, or could not prove its trust in time. */
  trusted?(isTrusted: boolean, shard: Shard): void
}

export interface ChannelOptions {
  redis: RedisConnection
  keys: KeySpace
  /** Lower-case; part of the key names, and of the Redis channel. */
  name: string
  listener: ChannelListener
  /** The one announcement that covers all others of a shard, for when more are waiting than are kept. */
  collapse: (shard: Shard) => Announcement
  log?: Log
  /** Sequences side by side, each on one slot: 1, and in a Redis Cluster 16. */
  shards?: number
  /** How long one proof of synchrony lasts. */
  trustWindowMs?: number
  heartbeatMs?: number
  /** Longest wait for one announcement. */
  deadlineMs?: number
  /** A heartbeat that is answered within this closes the circuit. Default `deadlineMs`. */
  closeWithinMs?: number
  /** Messages in the log of a shard, from which a gap is filled. */
  kept?: number
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
  wallNow?: () => number
}

export interface Channel {
  /** The Redis channel. What a script publishes on it as `<shard> ~ <text>` reaches `listener.signal`. */
  readonly name: string
  readonly shards: readonly Shard[]
  /** What every key of a shard ends in: nothing, or in a Cluster a hash tag. */
  suffixOf(shard: Shard): string
  /** The key of a shard's sequence. */
  sequenceKeyOf(shard: Shard): string
  /** Whether every shard is trusted now. */
  readonly trusted: boolean
  /**
   * Runs a script of `defineChannelScript`, whose message then reaches every process, this one included. It is sent again
   * whenever a failover may have lost it, so it must be idempotent. Never rejects, and takes `deadlineMs` at most.
   */
  announce(shard: Shard, announcement: Announcement): Promise<Issued>
  close(): void
}

const clusterShards = 16

/**
 * A sequenced channel: what one process announces reaches every other, and a process knows whether it has heard
 * everything. Redis pub/sub makes it fast, sequence and epoch make what it loses noticed, log and re-issue repair it.
 */
export function createChannel({
  redis,
  keys,
  name,
  listener,
  collapse,
  log = silentLog,
  shards: shardCount = redis.client.isCluster ? clusterShards : 1,
  trustWindowMs = 1_000,
  heartbeatMs = 300,
  deadlineMs = 100,
  closeWithinMs = deadlineMs,
  kept = 1_000,
  now = () => performance.now(),
  wallNow = Date.now,
}: ChannelOptions): Channel {
  const channel = keys.channel(name)
  const subscriber = redis.subscriber()
  let times = 0
  const suffix = (index: number) => (redis.client.isCluster ? `:{${keys.service}-${index}}` : '')
  const key = (index: number, part: string) => keys.key(name, part) + suffix(index)

  const shards = Array.from({ length: shardCount }, (_, index): Shard => {
    const shard: Shard = new Shard({
      index,
      redis,
      subscription: () => ({ active: subscriber.active && times > 0, times }),
      channel,
      keys: { sequence: key(index, 'sequence'), log: key(index, 'log'), mark: key(index, 'mark') },
      kept,
      trustWindowMs,
      deadlineMs,
      closeWithinMs,
      ring: { keepMs: 60_000, most: 10_000, collapse: () => collapse(shard) },
      listener: {
        apply: (payload) => listener.apply(payload, shard),
        lost: () => listener.lost(shard),
        trusted: (isTrusted) => listener.trusted?.(isTrusted, shard),
      },
      log,
      now,
      wallNow,
    })
    return shard
  })
  const lookAll = () => {
    for (const shard of shards) shard.look()
  }

  function receive(message: string): void {
    const space = message.indexOf(' ')
    const shard = shards[Number(message.slice(0, space))]
    if (!shard) return
    if (message.startsWith('~ ', space + 1)) listener.signal?.(message.slice(space + 3), shard)
    else shard.receive(message.slice(space + 1))
  }

  let unsubscribe: (() => void) | undefined
  let closed = false
  // Subscribe first, then ask where the channel stands: so no message falls between.
  const stopActive = subscriber.onActive(() => {
    times += 1
    lookAll()
  })
  void subscriber.subscribe(channel, receive).then(
    (stop) => {
      unsubscribe = stop
      if (closed) stop()
      // On a connection that stood already.
      else if (subscriber.active && times === 0) {
        times = 1
        lookAll()
      }
    },
    (cause: unknown) => log.error({ err: cause, channel }, 'the channel may not be subscribed'),
  )
  const stopState = redis.onState((state) => {
    if (state === 'ready') lookAll()
    else for (const shard of shards) shard.doubt()
  })
  const heartbeat = setInterval(() => {
    for (const shard of shards) shard.beat()
  }, heartbeatMs)
  heartbeat.unref()
  lookAll()

  return {
    name: channel,
    shards,
    suffixOf: ({ index }) => suffix(index),
    sequenceKeyOf: ({ index }) => key(index, 'sequence'),
    get trusted() {
      const at = now()
      return shards.every(({ trustedUntilMs }) => at < trustedUntilMs)
    },
    announce: (shard, announcement) => shard.announce(announcement),
    close() {
      closed = true
      clearInterval(heartbeat)
      stopActive()
      stopState()
      unsubscribe?.()
      for (const shard of shards) shard.close()
    },
  }
}
