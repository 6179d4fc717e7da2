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

  /** How often each entry was delivered, of the first `count` from this id on that are not done with. */
  async function deliveries(from: string, count: number): Promise<Map<string, number>> {
    const rows = (await inGroup(() => client.xpending(stream, group, from, '+', count))) as [
      id: string,
      consumer: string,
      idleMs: number,
      deliveries: number,
    ][]
    return new Map(rows.map(([id, , , times]) => [id, times]))
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

    /**
     * Up to `most` entries that are with the writer and not in hand, where it has more than it holds: one that was frozen
     * and has lost the lock may take some when it wakes, before it knows.
     */
    async strays(
      inHand: { entries: number; ids: () => ReadonlySet<string> },
      most: number,
    ): Promise<JournalEntry[]> {
      const [withWriter] = (await inGroup(() => client.xpending(stream, group))) as [number]
      if (withWriter <= inHand.entries) return []
      const known = inHand.ids()
      const strays: string[] = []
      for (let from = '-', isLast = false; !isLast && strays.length < most;) {
        const ids = [...(await deliveries(from, 1_000)).keys()]
        strays.push(...ids.filter((id) => !known.has(id)))
        isLast = ids.length < 1_000
        from = `(${ids.at(-1)}`
      }
      const some = strays.slice(0, most)
      if (some.length === 0) return []
      const claimed = await client.callBuffer('XCLAIM', stream, group, consumer, 0, ...some)
      return (claimed as (Raw | null)[]).flatMap((raw) => (raw ? entryOf(raw) : []))
    },

    deliveries,

    /** Begins to count the deliveries of an entry anew, if it is not done with. */
    async acquit(id: string): Promise<void> {
      await client.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', 1, 'JUSTID')
    },

    /** Undefined when it is not in the stream. */
    async entry(id: string): Promise<JournalEntry | undefined> {
      const [raw] = (await client.callBuffer('XRANGE', stream, id, id)) as Raw[]
      return raw && entryOf(raw)[0]
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
