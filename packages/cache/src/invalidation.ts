import {
  defineChannelScript,
  type Announcement,
  type Call,
  type Issued,
  type Shard,
} from '@wattle/redis'
import type { KindName } from './kind-name.ts'
import { checked, type Message, type Ref } from './refs.ts'
import { shardFor, type Space } from './space.ts'
import { outcomeOf } from './token.ts'

const script = defineChannelScript(new URL('./lua/invalidate.lua', import.meta.url))

/** `applied`: a master executed it. `deferred`: Redis could not be reached; it is kept, and executed before Redis is believed again. */
export type Invalidation = {
  readonly outcome: 'applied' | 'deferred'
  /**
   * Stands for this write: given as `after` to a read in another process, nothing older is returned. Where the outcome is
   * `deferred` such a read asks the source.
   */
  readonly token: string
}

/** Names in one announcement: what a script does in one go holds up all others. */
const mostInOne = 200

type Part = {
  entries: { kind: KindName; encoded: string }[]
  tags: string[]
  expired: string[]
  generations: string[]
  patterns: { kind: KindName; beginning: string }[]
}

/**
 * Invalidates what is named, in Redis and in every process.
 *
 * The message goes into the channel and the entries go from Redis in one script; here the same is done after the answer,
 * so that what was read meanwhile is not kept. A kind's entries of the neighbouring versions go too: during a rolling
 * deploy both are in use.
 */
export function createInvalidation(space: Space) {
  const { channel, keys, local, tags } = space
  const generationsKey = (shard: Shard) => keys.key('generations') + channel.suffixOf(shard)

  type Named = { kind: KindName; encoded: string }

  function keysAt({ kind, encoded }: Named, shard: Shard, versions: readonly number[]): string[] {
    const suffix = channel.suffixOf(shard)
    return versions.flatMap((version) => {
      const key = kind.redisKey(encoded, version)
      return [key + suffix, `${key}:~lease${suffix}`]
    })
  }

  /** Entry and lease at the versions beside the kind's own. */
  const neighbourKeys = (named: Named, shard: Shard) =>
    keysAt(named, shard, neighboursOf(named.kind))

  const entryKeys = (named: Named, shard: Shard) => [
    ...keysAt(named, shard, [named.kind.version]),
    ...neighbourKeys(named, shard),
  ]

  function messageOf(part: Part, shard: Shard): Message {
    // A kind may be called `constructor`.
    const entries = Object.create(null) as Record<string, string[]>
    for (const { kind, encoded } of part.entries) (entries[kind.name] ??= []).push(encoded)
    return {
      ...(part.entries.length > 0 ? { e: entries } : {}),
      ...(part.tags.length > 0 ? { t: part.tags } : {}),
      ...(part.expired.length > 0 ? { x: part.expired } : {}),
      ...(part.generations.length > 0 ? { g: part.generations } : {}),
      ...(part.patterns.length > 0
        ? { p: part.patterns.map(({ kind, beginning }) => [kind.name, beginning] as const) }
        : {}),
      ms: Math.round(shard.clock.nowMs()),
    }
  }

  function callOf(
    part: Part,
    shard: Shard,
    moved: readonly string[],
    fenced: readonly string[],
  ): Call {
    const removed = part.entries.flatMap((entry) => entryKeys(entry, shard))
    const tagKeys = [...part.tags, ...part.expired].map((tag) => tags.key(tag, shard))
    const change = moved.length + fenced.length === 0 ? '' : JSON.stringify({ g: moved, f: fenced })
    return {
      script,
      keys: [generationsKey(shard), tags.index(shard), ...removed, ...tagKeys],
      args: [removed.length, part.tags.length, change],
    }
  }

  function announcementOf(part: Part, shard: Shard): Announcement {
    const payload = JSON.stringify(messageOf(part, shard))
    const kinds = part.patterns.map(({ kind }) => kind.name)
    if (kinds.length === 0) return { ...callOf(part, shard, part.generations, []), payload }
    // The walk that follows cannot be done again: where it may be lost, the whole kind goes instead.
    return {
      ...callOf(part, shard, [...part.generations, ...kinds], []),
      payload: JSON.stringify({ ...messageOf(part, shard), g: [...part.generations, ...kinds] }),
      first: callOf(part, shard, part.generations, kinds),
    }
  }

  /** Removes from Redis what begins like this, at the neighbouring versions too. Whether every key was seen. */
  async function walk({ kind, beginning }: Part['patterns'][number]): Promise<boolean> {
    const beginnings = [kind.version, ...neighboursOf(kind)].map((version) =>
      kind.redisKey(beginning, version),
    )
    const pattern = `${keys.prefix}${kind.name}@*:${beginning}*`
    const { client } = space.redis
    const nodes = 'nodes' in client ? client.nodes('master') : [client]
    try {
      await Promise.all(
        nodes.map(async (node) => {
          let cursor = '0'
          do {
            const [next, found] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000)
            cursor = next
            const meant = found.filter((key) => beginnings.some((start) => key.startsWith(start)))
            await Promise.all(meant.map((key) => client.unlink(key)))
          } while (cursor !== '0')
        }),
      )
      return true
    } catch {
      return false
    }
  }

  async function announce(part: Part, shard: Shard): Promise<Position> {
    const announcement = announcementOf(part, shard)
    const issued = await channel.announce(shard, announcement)
    const { epoch } = shard
    let position = positionOf(shard, issued)
    if (part.patterns.length > 0) {
      const walks = await Promise.all(part.patterns.map(walk))
      if (position.epoch === undefined || walks.includes(false) || shard.epoch !== epoch) {
        const kinds = part.patterns.map(({ kind }) => kind.name)
        position = await announce({ ...nothing(), generations: kinds }, shard)
      } else {
        // Who read an entry between the message and the walk has kept it. Now that none is left, everybody is told again.
        const again = { ...nothing(), patterns: part.patterns }
        position = positionOf(shard, await channel.announce(shard, announcementOf(again, shard)))
      }
    }
    local.apply(messageOf(part, shard))
    return position
  }

  async function invalidate(refs: readonly Ref[]): Promise<Invalidation> {
    const parts = new Map<Shard, Part[]>()
    const partOf = (shard: Shard): Part => {
      const list = parts.get(shard) ?? []
      parts.set(shard, list)
      let part = list.at(-1)
      if (!part || sizeOf(part) >= mostInOne) list.push((part = nothing()))
      return part
    }
    for (const ref of refs) {
      checked(ref)
      if ('entry' in ref) {
        const shard = shardFor(channel.shards, ref.entry)
        partOf(shard).entries.push({ kind: ref.kind, encoded: ref.entry })
        continue
      }
      for (const shard of channel.shards) {
        const part = partOf(shard)
        if ('tag' in ref) {
          const [name = ''] = tags.encode([ref.tag])
          if (ref.mode === 'delete') part.tags.push(name)
          else part.expired.push(name)
        } else if ('all' in ref) part.generations.push(ref.all === '*' ? '*' : ref.all.name)
        else part.patterns.push({ kind: ref.kind, beginning: ref.startingWith })
      }
    }
    const positions = await Promise.all(
      [...parts].flatMap(([shard, list]) => list.map((part) => announce(part, shard))),
    )
    return outcomeOf(positions)
  }

  return {
    invalidate,
    generationsKey,
    neighbourKeys,
    /** Covers every invalidation of a shard that is waiting. */
    collapse: (shard: Shard): Announcement =>
      announcementOf({ ...nothing(), generations: ['*'] }, shard),
  }
}

type Position = { shard: Shard; epoch?: string; sequence?: number }

const positionOf = (shard: Shard, issued: Issued): Position =>
  issued.outcome === 'applied'
    ? { shard, epoch: issued.epoch, sequence: issued.sequence }
    : { shard }

const neighboursOf = ({ version }: KindName): number[] =>
  version === 1 ? [2] : [version - 1, version + 1]

const nothing = (): Part => ({ entries: [], tags: [], expired: [], generations: [], patterns: [] })

const sizeOf = ({ entries, tags, expired, generations, patterns }: Part) =>
  entries.length + tags.length + expired.length + generations.length + patterns.length
