import { defineScript } from '@wattle/redis'
import type { KindCore } from './kind-core.ts'
import type { Space } from './space.ts'
import { SpaceSaving } from './space-saving.ts'

const mergeScript = defineScript(new URL('./lua/merge-hot.lua', import.meta.url))

export type HotEntry = { readonly name: string; readonly count: number; readonly args?: unknown[] }
export type HotList = { readonly total: number; readonly entries: readonly HotEntry[] }

const keptMs = 7 * 86_400_000
/** What one script adds: more would hold up others. */
const mostInOne = 100

/**
 * A list of keys with their counts that the processes of a service keep together in Redis. Each counts on its own, and
 * adds what it counted now and then; so a restart loses what was counted since, and nothing else.
 */
export function createHotList(
  space: Space,
  name: string,
  { size, halfLifeMs }: { size: number; halfLifeMs: number },
) {
  type Read = { readonly kind: KindCore; readonly args: readonly unknown[] }
  const suffix = space.channel.shards[0] ? space.channel.suffixOf(space.channel.shards[0]) : ''
  const list = space.keys.key('hot', name) + suffix
  const about = space.keys.key('hot', name, 'about') + suffix
  let counted = new SpaceSaving<Read>(size)

  const merge = (some: ReturnType<typeof counted.top>) =>
    space.redis.run(mergeScript, {
      keys: [list, about],
      args: [
        size,
        halfLifeMs,
        keptMs,
        ...some.flatMap(({ key, count, about: read }) => {
          const args = read && readableArgs(read.kind, key.slice(key.indexOf(' ') + 1), read.args)
          return [key, count, args ? JSON.stringify(args) : '']
        }),
      ],
    })

  return {
    get local() {
      return counted
    },
    /** What was counted since the last time goes to Redis. When that fails it is counted on. */
    async push(): Promise<void> {
      const taken = counted
      const all = taken.top()
      counted = new SpaceSaving(size)
      let at = 0
      try {
        for (; at < all.length; at += mostInOne) await merge(all.slice(at, at + mostInOne))
      } catch {
        // The batch that failed may have been added all the same: better once too few than twice.
        for (const { key, count, about: read } of all.slice(at + mostInOne))
          counted.add(key, count, read)
      }
    },
    /** The fleet's list; what only this process has counted when Redis is not there. */
    async read(most: number): Promise<HotList> {
      try {
        const [pairs, texts] = await Promise.all([
          space.redis.client.zrevrange(list, 0, most - 1, 'WITHSCORES'),
          space.redis.client.hgetall(about),
        ])
        const entries: HotEntry[] = []
        for (let at = 0; at < pairs.length; at += 2) {
          const key = pairs[at] ?? ''
          const args = texts[key]
          const one = { name: key, count: Number(pairs[at + 1]) }
          entries.push(args === undefined ? one : { ...one, args: JSON.parse(args) as unknown[] })
        }
        return { total: Number(texts['~total'] ?? 0), entries }
      } catch {
        const entries = counted.top(most).map(({ key, count }) => ({ name: key, count }))
        return { total: counted.total, entries }
      }
    },
  }
}

/**
 * The arguments, when each of them stands in the key in clear: so that nothing gets into Redis that was not there
 * already, a personal value least of all.
 */
function readableArgs(
  { names }: KindCore,
  encoded: string,
  args: readonly unknown[],
): readonly unknown[] | undefined {
  const parts = encoded.split(':')
  const isReadable = (arg: unknown) => {
    const isPlain =
      typeof arg === 'string' ||
      typeof arg === 'boolean' ||
      arg === null ||
      (typeof arg === 'number' && Number.isFinite(arg))
    if (!isPlain) return false
    const part = names.encode([arg])
    return !part.startsWith('~p') && !part.includes('#') && parts.includes(part)
  }
  return args.every(isReadable) ? args : undefined
}
