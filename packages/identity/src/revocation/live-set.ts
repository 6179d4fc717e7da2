import { defineScript, type KeySpace, type RedisConnection } from '@wattle/redis'
import { readRevocation, writeRevocation, type Revocation } from './revocation.ts'
import type { RevocationSource } from './view.ts'

const addScript = defineScript(new URL('./live-add.lua', import.meta.url))
const markScript = defineScript(new URL('./live-mark.lua', import.meta.url))
const readScript = defineScript(new URL('./live-read.lua', import.meta.url))

/** Whoever publishes revocations; its key space holds them. */
const publisherService = 'user'

export type LiveSetDeps = {
  readonly redis: Pick<RedisConnection, 'run'>
  /** Of the service that publishes revocations, also where another reads them. */
  readonly keys: KeySpace
}

const keyOf = (keys: KeySpace) => {
  if (keys.service !== publisherService) {
    throw new Error(`revocations live in the key space of ${publisherService}, not ${keys.service}`)
  }
  return keys.key('revocation-live')
}

/** The live revocations in the `state` group, to read. They are complete once the publisher has said so. */
export function liveRevocations({
  redis,
  keys,
  now = Date.now,
}: LiveSetDeps & { now?: () => number }): RevocationSource {
  const key = keyOf(keys)
  return {
    async load() {
      const reply = await redis.run(readScript, { keys: [key], args: [now()] })
      const [isComplete, ...texts] = reply as [number, ...string[]]
      if (isComplete !== 1) return undefined
      return texts.flatMap((text) => readRevocation(text) ?? [])
    },
  }
}

/** The same, to write. */
export function liveSet({ redis, keys }: LiveSetDeps) {
  const key = keyOf(keys)
  return {
    /** Stores them and returns the epoch that has them. */
    async add(revocations: readonly Revocation[], nowMs: number): Promise<string> {
      const pairs = revocations.flatMap((one) => [one.untilMs, writeRevocation(one)])
      return (await redis.run(addScript, { keys: [key], args: [nowMs, ...pairs] })) as string
    },
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
