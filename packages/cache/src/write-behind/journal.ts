import { defineScript } from '@wattle/redis'
import type { Parts } from './parts.ts'
import { ready } from './ready.ts'

const settleScript = defineScript(new URL('./settle.lua', import.meta.url))
const forgetScript = defineScript(new URL('./forget.lua', import.meta.url))
const buryScript = defineScript(new URL('./bury.lua', import.meta.url))

/** An entry of the stream. */
export type JournalEntry = {
  readonly id: string
  readonly version: number
  readonly encoded: string
  readonly codecs: string
  readonly keyBytes: Buffer
  readonly valueBytes: Buffer
}

type Raw = [id: Buffer, fields: Buffer[] | null]

/** There is one writer at a time, so it has one name, and what it left is its own. */
const consumer = 'writer'
/** Longest wait for entries. */
const blockMs = 500

/** What the writer does with the stream. Every call rejects when Redis does not serve. */
export function openJournal({
  settings: { redis, maxDeadLetters },
  place,
}: Pick<Parts<never>, 'settings' | 'place'>) {
  const { stream, pending, dead, group } = place
  const { client } = redis
  const reader = redis.blocking({ maxBlockMs: blockMs })

  /** Where the group is missing (first start, FLUSHALL) makes it, from the beginning of the stream. */
  async function inGroup<T>(command: () => Promise<T>): Promise<T> {
    try {
      return await command()
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOGROUP'))) throw error
    }
    await client.xgroup('CREATE', stream, group, '0', 'MKSTREAM').catch((error: unknown) => {
      if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error
    })
    return command()
  }

  return {
    /**
     * Up to `count` entries that no writer has had; waits up to `longestMs` for the first (0: not at all), and no longer
     * than half a second.
     */
    async read(count: number, longestMs: number): Promise<JournalEntry[]> {
      const waitMs = Math.floor(Math.min(blockMs, longestMs))
      await ready(reader)
      const reply = await inGroup(() =>
        waitMs > 0
          ? reader.xreadgroupBuffer(
              'GROUP',
              group,
              consumer,
              'COUNT',
              count,
              'BLOCK',
              waitMs,
              'STREAMS',
              stream,
              '>',
            )
          : reader.xreadgroupBuffer(
              'GROUP',
              group,
              consumer,
              'COUNT',
              count,
              'STREAMS',
              stream,
              '>',
            ),
      )
      const [[, entries] = []] = (reply ?? []) as [key: Buffer, entries: Raw[]][]
      return (entries ?? []).flatMap(entryOf)
    },

    /** Takes up to `count` entries that a writer had and did not bring to an end; `next` is '0-0' after the last. */
    async takeOver(
      from: string,
      count: number,
    ): Promise<{ next: string; entries: JournalEntry[] }> {
      const [next, entries] = (await inGroup(() =>
        client.callBuffer('XAUTOCLAIM', stream, group, consumer, 0, from, 'COUNT', count),
      )) as [Buffer, Raw[]]
      return { next: next.toString(), entries: entries.flatMap(entryOf) }
    },

    /** How often each entry was delivered, of the first `count` from this id on that are not done with. */
    async deliveries(from: string, count: number): Promise<Map<string, number>> {
      const rows = (await inGroup(() => client.xpending(stream, group, from, '+', count))) as [
        id: string,
        consumer: string,
        idleMs: number,
        deliveries: number,
      ][]
      return new Map(rows.map(([id, , , times]) => [id, times]))
    },

    /** The version of each key's newest change, where that is not in the source yet. */
    async pendingOf(encoded: readonly string[]): Promise<(number | undefined)[]> {
      if (encoded.length === 0) return []
      const versions = await client.hmget(pending, ...encoded)
      return versions.map((version) => (version === null ? undefined : Number(version)))
    },

    async settle(written: readonly { encoded: string; version: number }[]): Promise<void> {
      const args = written.flatMap(({ encoded, version }) => [encoded, version.toFixed(0)])
      await redis.run(settleScript, { keys: [pending], args })
    },

    async forget(ids: readonly string[]): Promise<void> {
      await redis.run(forgetScript, { keys: [stream], args: [group, ...ids] })
    },

    /** Whether there was room. */
    async bury(version: number, cause: string, attempts: number): Promise<boolean> {
      const args = [version.toFixed(0), cause.slice(0, 1_000), attempts, maxDeadLetters]
      return (await redis.run(buryScript, { keys: [stream, pending, dead], args })) !== 0
    },

    /** Changes that are not done with. */
    length: () => client.xlen(stream),
  }
}

export type Journal = ReturnType<typeof openJournal>

export function entryOf([id, flat]: Raw): JournalEntry[] {
  if (!flat) return []
  const fields = fieldsOf(flat)
  return [
    {
      id: id.toString(),
      version: Number(id.toString().split('-')[0]),
      encoded: fields.get('k')?.toString() ?? '',
      codecs: fields.get('c')?.toString() ?? '',
      keyBytes: fields.get('n') ?? nothing,
      valueBytes: fields.get('v') ?? nothing,
    },
  ]
}

export function fieldsOf(flat: readonly Buffer[]): Map<string, Buffer> {
  const fields = new Map<string, Buffer>()
  for (let at = 0; at + 1 < flat.length; at += 2) {
    fields.set(flat[at]?.toString() ?? '', flat[at + 1] ?? nothing)
  }
  return fields
}

const nothing = Buffer.alloc(0)
