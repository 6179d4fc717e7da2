import { defineScript } from '@wattle/redis'
import type { Space } from './space.ts'

const takeScript = defineScript(new URL('./lua/take-duty.lua', import.meta.url))
const leaveScript = defineScript(new URL('./lua/leave-duty.lua', import.meta.url))

/**
 * Work in the background that one process of a fleet does at a time. It saves work, it protects nothing: when Redis
 * forgets who has a duty, two processes may do it for a while, and each such work must bear that.
 */
export function createDuty(space: Space, name: string, ttlMs: number) {
  const key = space.keys.key('duty', name)
  const token = space.nextToken()
  /** Takes it, or keeps it for `ttlMs` from now on; `unknown` when Redis cannot be asked. */
  async function hold(): Promise<'held' | 'lost' | 'unknown'> {
    if (!space.channel.shards.every(({ available }) => available)) return 'unknown'
    try {
      const held = await space.redis.run(takeScript, { keys: [key], args: [token, ttlMs] })
      return held === 1 ? 'held' : 'lost'
    } catch {
      return 'unknown'
    }
  }
  return {
    hold,
    /** The same: whether it is known to be held. */
    take: async (): Promise<boolean> => (await hold()) === 'held',
    async leave(): Promise<void> {
      await space.redis.run(leaveScript, { keys: [key], args: [token] }).catch(() => 0)
    },
    /** Takes it from whoever has it, and gives it to nobody until the holder must have noticed; nothing where nobody has it. */
    async revoke(): Promise<void> {
      await space.redis.client.set(key, '~revoked', 'PX', ttlMs, 'XX').catch(() => 0)
    },
  }
}

export type Duty = ReturnType<typeof createDuty>
