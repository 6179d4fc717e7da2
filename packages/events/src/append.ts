import { defineScript, type RedisConnection } from '@wattle/redis'
import { connected } from './connected.ts'

/** One history of the stream, as far as it is known; see `append.lua`. */
export type History = {
  /** The master's replication id. */
  epoch: string
  lastStreamId: string
}

/** Before the first append: no server has this epoch. */
export const noHistory: History = { epoch: 'none', lastStreamId: '0-0' }

export type AppendReply =
  | { changed: History }
  /** Ids of the entries, and how many replicas have them, and everything before them, for sure. */
  | { streamIds: string[]; replicas: number }

const script = defineScript(new URL('./append.lua', import.meta.url))

/**
 * Appends to one stream over a connection of its own: WAIT speaks of the connection it comes on, and blocks it.
 * Script and WAIT go out in one write, so no reconnection can come between them.
 */
export function createAppender({
  redis,
  key,
  replicas,
  waitMs,
}: {
  redis: RedisConnection
  key: string
  /** How many replicas to wait for; with 0 there is no WAIT. */
  replicas: number
  waitMs: number
}) {
  const client = redis.blocking({ maxBlockMs: waitMs })

  async function send(command: 'EVALSHA' | 'EVAL', script: string, args: (string | number)[]) {
    const pipeline = client.pipeline()
    void pipeline.call(command, script, 1, key, ...args)
    if (replicas > 0) void pipeline.wait(replicas, waitMs)
    const [appended, waited] = (await pipeline.exec()) ?? []
    const error = appended?.[0] ?? waited?.[0]
    if (error) throw error
    const [same, epoch, ...ids] = (appended?.[1] ?? [0, '']) as [number, string, ...string[]]
    if (!same) return { changed: { epoch, lastStreamId: ids[0] ?? '0-0' } }
    return { streamIds: ids, replicas: Number(waited?.[1] ?? 0) }
  }

  /**
   * Appends the entries if the server's history is `known`. Rejects when Redis does not answer or refuses; then some
   * may have been appended all the same. With no entries it tells how many replicas have everything up to now.
   */
  return async function append(
    known: History,
    entries: readonly (readonly (string | number)[])[],
  ): Promise<AppendReply> {
    await connected(client)
    const width = entries[0]?.length ?? 1
    const args = [known.epoch, known.lastStreamId, width, ...entries.flat()]
    try {
      return await send('EVALSHA', script.sha, args)
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return send('EVAL', script.source, args)
    }
  }
}
