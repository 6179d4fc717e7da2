import {
  createChannel,
  defineChannelScript,
  type Announcement,
  type KeySpace,
  type Log,
  type RedisConnection,
} from '@wattle/redis'
import { liveKeyOf } from './live-set.ts'
import { writeRevocation, type Revocation } from './revocation.ts'

/** After which a channel that has proven nothing since its start is said to. */
const firstProofMs = 5_000

const announceScript = defineChannelScript(new URL('./announce.lua', import.meta.url))

/** Stands for all that this process had to announce: whoever hears it reads the whole set. */
const reload = 'reload'

/** What a channel tells whoever listens. Must not throw. */
export type ChannelListener = {
  /** Revocations, one a line; each at least once. */
  message(payload: string): void
  /** Some may be missing, as at the very start: read all from the source before trusting what is known. */
  lost(): void
}

/** What a view learns by. */
export type Channel = {
  /** On the scale of `performance.now()`; in the past while it cannot prove that nothing is missing. */
  trustedUntilMs(): number
  close(): void
}

/** Opens a channel; its listener belongs to it from the start, so that nothing is missed. */
export type OpenChannel = (listener: ChannelListener) => Channel

export type RevocationChannel = Channel & {
  /**
   * Adds them to the live set and announces them, in one step, and returns the epoch that has them; undefined when it
   * cannot be told that a master has: publish them again. Takes 400 ms at most. Never rejects.
   */
  publish(revocations: readonly Revocation[], nowMs: number): Promise<string | undefined>
}

export type RevocationChannelOptions = {
  readonly redis: RedisConnection
  /** Of the service that publishes revocations, also where others listen. */
  readonly keys: KeySpace
  /** Left out by who publishes only. */
  readonly listener?: ChannelListener
  /** How long a proof holds; longer than a heartbeat and a call. */
  readonly trustWindowMs?: number
  readonly heartbeatMs?: number
  /** Messages kept in Redis for those who were away. */
  readonly keptMessages?: number
  readonly log?: Log
}

/**
 * Revocations over the sequenced channel of `@wattle/redis`: see `createChannel` for what it promises, and how. One shard,
 * since they are few and each concerns every process.
 */
export function revocationChannel({
  redis,
  keys,
  listener,
  trustWindowMs = 1_000,
  heartbeatMs = 300,
  keptMessages = 500,
  log,
}: RevocationChannelOptions): RevocationChannel {
  const live = liveKeyOf({ redis, keys })
  const announcement = (payload: string, args: Announcement['args']): Announcement => ({
    script: announceScript,
    keys: [live],
    args,
    payload,
  })
  // A refusal is an answer, so it does not show as an outage.
  const silence = setTimeout(() => {
    const remedy = 'start the user service, or grant what infra/redis/shared-grants.json lists'
    log?.warn({}, `revocations have never arrived: ${remedy}`)
  }, firstProofMs)
  silence.unref()
  const channel = createChannel({
    redis,
    keys,
    name: 'revocation',
    listener: {
      apply: (payload) => (payload === reload ? listener?.lost() : listener?.message(payload)),
      lost: () => listener?.lost(),
      trusted(isTrusted) {
        clearTimeout(silence)
        if (isTrusted) log?.info({}, 'revocations arrive')
        else log?.warn({}, 'revocations may be missing, so what is not known is "unknown"')
      },
    },
    collapse: () => announcement(reload, [0]),
    shards: 1,
    trustWindowMs,
    heartbeatMs,
    // As long as a call may take: a publisher can wait, and a batch of hundreds takes its time on a busy server.
    deadlineMs: 400,
    kept: keptMessages,
    ...(log === undefined ? {} : { log }),
  })
  const [shard] = channel.shards
  if (shard === undefined) throw new Error('the channel of revocations has no shard')

  return {
    async publish(revocations, nowMs) {
      // The database keeps what is due, so the channel need not.
      if (!shard.available) return undefined
      const pairs = revocations.map((one) => [one.untilMs, writeRevocation(one)] as const)
      const payload = pairs.map(([, text]) => text).join('\n')
      const issued = await channel.announce(shard, announcement(payload, [nowMs, ...pairs.flat()]))
      return issued.outcome === 'applied' ? issued.epoch : undefined
    },
    trustedUntilMs: () => shard.trustedUntilMs,
    close() {
      channel.close()
      clearTimeout(silence)
    },
  }
}
