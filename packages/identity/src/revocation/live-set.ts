import { defineChannelScript, type KeySpace, type RedisConnection } from '@wattle/redis'
import { readRevocation, type Revocation } from './revocation.ts'
import type { RevocationSource } from './view.ts'

const markScript = defineChannelScript(new URL('./live-mark.lua', import.meta.url))
const readScript = defineChannelScript(new URL('./live-read.lua', import.meta.url))

/** Whoever publishes revocations; its key space holds them. */
const publisherService = 'user'

export type LiveSetDeps = {
  readonly redis: Pick<RedisConnection, 'run' | 'client'>
  /** Of the service that publishes revocations, also where another reads them. */
  readonly keys: KeySpace
}

/**
 * The sorted set of live revocations. In a Cluster it lies in the slot of the channel's only shard, so that one script
 * can write both.
 */
export function liveKeyOf({
  redis,
  keys,
}: {
  redis: Pick<RedisConnection, 'client'>
  keys: KeySpace
}) {
  if (keys.service !== publisherService) {
    throw new Error(`revocations live in the key space of ${publisherService}, not ${keys.service}`)
  }
  const slot = redis.client.isCluster ? `:{${keys.service}-0}` : ''
  return keys.key('revocation-live') + slot
}

/**
 * The live revocations in the `state` group, to read: all of them, if the publisher has said in the present epoch that
 * they are complete. Read in pages, so that however many there are no call is long; what is added meanwhile comes by the
 * channel, and what is removed has ended.
 */
export function liveRevocations({
  redis,
  keys,
  now = Date.now,
  pageSize = 5_000,
}: LiveSetDeps & { now?: () => number; pageSize?: number }): RevocationSource {
  const key = liveKeyOf({ redis, keys })
  return {
    async load() {
      const all: Revocation[] = []
      let from = String(now())
      let known = 0
      let firstEpoch: string | undefined
      for (;;) {
        const args = [from, known, pageSize]
        const reply = await redis.run(readScript, { keys: [key], args })
        const [epoch, isComplete, ...found] = reply as [string, number, ...string[]]
        firstEpoch ??= epoch
        if (isComplete !== 1 || epoch !== firstEpoch) return undefined
        for (let at = 0; at < found.length; at += 2) {
          const [text = '', endsAt = ''] = found.slice(at, at + 2)
          const revocation = readRevocation(text)
          if (revocation !== undefined) all.push(revocation)
          known = endsAt === from ? known + 1 : 1
          from = endsAt
        }
        if (found.length < 2 * pageSize) return all
      }
    },
  }
}

/** What the publisher asks of the same set, and says of it; a channel's `publish` adds to it. */
export function liveSet({ redis, keys }: LiveSetDeps) {
  const key = liveKeyOf({ redis, keys })
  return {
    /** The present epoch, and whether the set is complete in it. */
    async epoch(): Promise<{ epoch: string; isComplete: boolean }> {
      return mark('')
    },
    /** Says that all are there, if the epoch is still this one; tells whether it is. */
    async complete(epoch: string): Promise<boolean> {
      const marked = await mark(epoch)
      return marked.epoch === epoch && marked.isComplete
    },
  }

  async function mark(wanted: string) {
    const reply = await redis.run(markScript, { keys: [key], args: [wanted] })
    const [epoch, isComplete] = reply as [string, number]
    return { epoch, isComplete: isComplete === 1 }
  }
}
