import { eventually } from '@wattle/testkit'
import { expect } from 'vitest'
import {
  connectRedis,
  createChannel,
  defineChannelScript,
  keySpace,
  type Channel,
  type ChannelOptions,
  type ConnectOptions,
  type RedisConnection,
  type Shard,
} from '../../src/index.ts'
import { recordingLog } from './log.ts'

const say = defineChannelScript(new URL('./say.lua', import.meta.url))

export type OpenOptions = Partial<ChannelOptions> & {
  url: string
  service?: string
  /** Another way to the same Redis, for the subscriber alone. */
  subscriberUrl?: string
  connect?: Partial<ConnectOptions>
}

/** A channel as one process follows it, and what it heard. */
export function openChannel({
  url,
  service = 'billing',
  subscriberUrl,
  connect,
  ...options
}: OpenOptions) {
  const log = recordingLog()
  const redis = connectRedis({ url, name: service, log, ...connect })
  const other = subscriberUrl ? connectRedis({ url: subscriberUrl, name: 'other' }) : undefined
  const keys = keySpace({ environment: 'test', service })
  const heard: string[] = []
  const trust: boolean[] = []
  let losses = 0
  const counts = keys.key('counts')
  const announcementOf = (word: string, target: Shard) => ({
    payload: word,
    script: say,
    keys: [counts + channel.suffixOf(target)],
    args: [],
  })
  const channel: Channel = createChannel({
    redis: other ? withSubscriberOf(redis, other) : redis,
    keys,
    name: 'words',
    log,
    listener: {
      apply: (word) => void heard.push(word),
      lost: () => void (losses += 1),
      trusted: (is) => void trust.push(is),
    },
    collapse: (target) => announcementOf('everything', target),
    ...options,
  })
  const [shard] = channel.shards
  if (!shard) throw new Error('a channel has a shard')
  const close = async () => {
    channel.close()
    await Promise.all([redis.close(), other?.close()])
  }
  return {
    channel,
    shard,
    redis,
    log,
    heard,
    trust,
    counts,
    losses: () => losses,
    say: (word: string) => channel.announce(shard, announcementOf(word, shard)),
    sayIn: (target: Shard, word: string) => channel.announce(target, announcementOf(word, target)),
    trusted: (withinMs = 10_000) =>
      eventually(() => expect(channel.trusted).toBe(true), { everyMs: 2, withinMs }),
    close,
    [Symbol.asyncDispose]: close,
  }
}

export type OpenChannel = ReturnType<typeof openChannel>

const withSubscriberOf = (redis: RedisConnection, other: RedisConnection): RedisConnection =>
  Object.create(redis, { subscriber: { value: () => other.subscriber() } }) as RedisConnection

/** Says a word until a master has executed it: on a busy machine the first attempt may take too long. */
export const sayApplied = ({ say: speak }: OpenChannel, word: string) =>
  eventually(async () => {
    const issued = await speak(word)
    if (issued.outcome !== 'applied') throw new Error(`${word} was deferred`)
    return issued
  })
