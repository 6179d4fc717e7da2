import { defineScript, type Shard } from '@wattle/redis'
import { longestMs } from './policy.ts'
import type { Space } from './space.ts'

const script = defineScript(new URL('./lua/forget-tags.lua', import.meta.url))

const dayMs = 86_400_000
const mostAtOnce = 500

/**
 * Forgets tags that were last invalidated longer ago than any entry may live: nothing is left that they could concern.
 * Their keys have no TTL, for a key with one may be evicted, and that would bring old entries back.
 */
export async function forgetOldTags(space: Space, shard: Shard): Promise<number> {
  if (!shard.available) return 0
  const index = space.tags.index(shard)
  const before = Math.floor((shard.clock.nowMs() - longestMs - dayMs) / 1_000)
  const old = await space.redis.client.zrangebyscore(index, '-inf', before, 'LIMIT', 0, mostAtOnce)
  if (old.length === 0) return 0
  return (await space.redis.run(script, { keys: [index, ...old], args: [before] })) as number
}
