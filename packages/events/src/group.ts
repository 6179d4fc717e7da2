import { defineScript, type RedisConnection } from '@wattle/redis'
import { connected } from './connected.ts'

/** An entry of the stream, delivered to this consumer. */
export type Delivery = {
  entryId: string
  fields: Record<string, string>
  /** How often it was delivered to somebody, this time included. */
  deliveries: number
}

type Entry = [id: string, fields: string[] | null]

const ackScript = defineScript(new URL('./ack.lua', import.meta.url))
const earlierScript = defineScript(new URL('./earlier.lua', import.meta.url))
const leaveScript = defineScript(new URL('./leave.lua', import.meta.url))

export type Group = ReturnType<typeof openGroup>

/** What one consumer does in its group on one stream. Every call rejects when Redis is away. */
export function openGroup({
  redis,
  key,
  group,
  consumer,
  blockMs,
}: {
  redis: RedisConnection
  key: string
  group: string
  consumer: string
  /** How long `read` waits for something new. */
  blockMs: number
}) {
  const reader = redis.blocking({ maxBlockMs: blockMs })
  const { client } = redis

  /** Runs the command; where the group is missing (first start, FLUSHALL, lost in a failover) makes it and runs it again. */
  async function inGroup<T>(command: () => Promise<T>): Promise<T> {
    try {
      return await command()
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOGROUP'))) throw error
    }
    // From the beginning: what the inbox knows is passed over, what it does not know must not be missed.
    await client.xgroup('CREATE', key, group, '0', 'MKSTREAM').catch((error: unknown) => {
      if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error
    })
    return command()
  }

  return {
    /** Up to `count` entries that nobody in the group has had. */
    async read(count: number): Promise<Delivery[]> {
      await connected(reader)
      const limits = ['COUNT', count, 'BLOCK', blockMs] as const
      const reply = await inGroup(() =>
        reader.xreadgroup('GROUP', group, consumer, ...limits, 'STREAMS', key, '>'),
      )
      const [[, entries] = ['', []]] = (reply ?? []) as [key: string, entries: Entry[]][]
      return entries.map((entry) => delivery(entry, 1))
    },

    /** Takes over up to `count` entries of which nothing was heard for `idleMs`, except those `held` here. */
    claim: (idleMs: number, count: number, held: (entryId: string) => boolean) =>
      take(idleMs, count, held, undefined),

    /** Takes entries that were delivered here in an answer that never arrived: those that are not `held`. */
    claimOwn: (count: number, held: (entryId: string) => boolean) => take(0, count, held, consumer),

    /** Says that these are still being worked on, except those that another has taken over. */
    async hold(entryIds: ReadonlySet<string>): Promise<void> {
      const mine = (await pendingEntries(0, entryIds.size + 1000, consumer)).map(([id]) => id)
      const held = mine.filter((id) => entryIds.has(id))
      if (held.length > 0) await client.call('XCLAIM', key, group, consumer, 0, ...held, 'JUSTID')
    },

    /** Says that these will not be worked on here, so that others may claim them at once. */
    async release(entryIds: readonly string[], idleMs: number): Promise<void> {
      if (entryIds.length === 0) return
      await client.call('XCLAIM', key, group, consumer, 0, ...entryIds, 'IDLE', idleMs, 'JUSTID')
    },

    async acknowledge(entryId: string, eventId: string | undefined): Promise<void> {
      await redis.run(ackScript, { keys: [key], args: [group, entryId, eventId ?? ''] })
    },

    /** Whether an earlier entry of the subject is still with somebody in the group. */
    async hasEarlier(entryId: string, subject: string): Promise<boolean> {
      const reply = await redis.run(earlierScript, { keys: [key], args: [group, entryId, subject] })
      return reply === 1
    },

    /** Removes consumers that hold nothing and were silent for `silentMs`. */
    async sweep(silentMs: number): Promise<void> {
      await redis.run(leaveScript, { keys: [key], args: [group, silentMs, ''] })
    },

    /** Removes this consumer, unless something still lies with it. */
    async leave(): Promise<void> {
      await redis.run(leaveScript, {
        keys: [key],
        args: [group, Number.MAX_SAFE_INTEGER, consumer],
      })
    },

    /** Entries that the group has not acknowledged; undefined when Redis cannot tell. */
    async lag(): Promise<number | undefined> {
      const groups = (await inGroup(() => client.xinfo('GROUPS', key))) as unknown[][]
      for (const flat of groups) {
        const field = (name: string) => flat[flat.indexOf(name) + 1]
        if (field('name') !== group) continue
        const behind = field('lag')
        return typeof behind === 'number' ? behind + Number(field('pending')) : undefined
      }
      return undefined
    },
  }

  async function take(
    idleMs: number,
    count: number,
    held: (entryId: string) => boolean,
    owner: string | undefined,
  ): Promise<Delivery[]> {
    const pending = await pendingEntries(idleMs, count, owner)
    const deliveries = new Map(pending.map(([id, , , times]) => [id, times + 1]))
    const wanted = [...deliveries.keys()].filter((id) => !held(id))
    if (wanted.length === 0) return []
    const entries = await client.call('XCLAIM', key, group, consumer, idleMs, ...wanted)
    return (entries as (Entry | null)[]).flatMap((entry) =>
      entry?.[1] ? [delivery(entry, deliveries.get(entry[0]) ?? 1)] : [],
    )
  }

  async function pendingEntries(idleMs: number, count: number, owner: string | undefined) {
    const reply = await inGroup(() =>
      owner === undefined
        ? client.xpending(key, group, 'IDLE', idleMs, '-', '+', count)
        : client.xpending(key, group, 'IDLE', idleMs, '-', '+', count, owner),
    )
    return reply as [id: string, owner: string, idleMs: number, deliveries: number][]
  }
}

function delivery([entryId, flat]: Entry, deliveries: number): Delivery {
  const fields: Record<string, string> = {}
  for (let i = 0; i + 1 < (flat?.length ?? 0); i += 2) fields[flat?.[i] ?? ''] = flat?.[i + 1] ?? ''
  return { entryId, fields, deliveries }
}
