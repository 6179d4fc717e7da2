import type { Channel, KeySpace, RedisConnection, Shard } from '@wattle/redis'
import type { Loading } from './loading.ts'
import type { Loads } from './loads.ts'
import type { Local } from './local.ts'
import type { Reads } from './reads.ts'
import type { Remote } from './remote.ts'
import type { Statistics } from './statistics.ts'
import type { Clock } from './turn-clock.ts'

export type Log = {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What all kinds of one cache share. */
export type Space = {
  readonly keys: KeySpace
  readonly redis: RedisConnection
  readonly channel: Channel
  readonly remotes: readonly Remote[]
  readonly local: Local
  readonly loads: Loads
  readonly waiting: Waiting
  readonly tags: TagNames
  readonly statistics: Statistics
  readonly reads: Reads
  readonly log: Log
  /** For the hot path: may be some reads old within a turn. */
  readonly clock: Clock
  readonly now: () => number
  readonly random: () => number
  /** Never the same twice in a fleet. */
  readonly nextToken: () => string
  /** Switched on. */
  enabled: boolean
}

/** How tags are named in Redis and between processes: encoded as keys are, so nothing personal stands there in clear. */
export function tagNames({ keys, channel }: Pick<Space, 'keys' | 'channel'>) {
  const beginning = keys.key('tag', '').slice(0, -'~empty'.length)
  return {
    encode: (names: readonly string[]): readonly string[] =>
      listed(names).map((name) => keys.key('tag', name).slice(beginning.length)),
    key: (encoded: string, shard: Shard): string => beginning + encoded + channel.suffixOf(shard),
    index: (shard: Shard): string => keys.key('tags') + channel.suffixOf(shard),
  }
}

function listed(names: readonly string[]): readonly string[] {
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names
  throw new TypeError('the tags of an entry are no list of texts: give one, such as [`user:${id}`]')
}

export type TagNames = ReturnType<typeof tagNames>

/** Loads that wait for another process to load, by the key in Redis. */
export function createWaiting() {
  const byEntry = new Map<string, Set<Loading>>()
  return {
    add(entry: string, one: Loading): void {
      const all = byEntry.get(entry)
      if (all) all.add(one)
      else byEntry.set(entry, new Set([one]))
    },
    remove(entry: string, one: Loading): void {
      const all = byEntry.get(entry)
      if (all?.delete(one) && all.size === 0) byEntry.delete(entry)
    },
    wake(entry: string, how: 'filled' | 'failed'): void {
      for (const one of byEntry.get(entry) ?? []) one.wake(how)
    },
  }
}

export type Waiting = ReturnType<typeof createWaiting>

/** Which of the shards a name belongs to: FNV-1a over its characters. */
export function shardFor(shards: readonly Shard[], name: string): Shard {
  const [only] = shards
  if (only === undefined) throw new Error('a channel has at least one shard')
  if (shards.length === 1) return only
  let hash = 0x811c9dc5
  for (let at = 0; at < name.length; at++) {
    hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  }
  return shards[(hash >>> 0) % shards.length] ?? only
}
