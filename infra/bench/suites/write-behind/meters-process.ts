import { createCache, type WriteBehind, type WriteBehindChange } from '@wattle/cache'
import { openDatabase, queryOf } from '@wattle/database'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually } from '@wattle/testkit'
import type { Took } from '../../harness/measure.ts'

/** Readings of meters, in a process of its own: kept in PostgreSQL, cached in Redis, and changed in one of several ways. */

export type Way = 'SET' | 'kind.set' | 'update' | 'put' | 'put, replicas: 1'
export type MetersSetting = { way: Way; cacheUrl: string; stateUrl: string; databaseUrl: string }
export type Meters = Awaited<ReturnType<typeof open>>

type Reading = { amount: number; note: string }

const meters = 5_000
const note = 'x'.repeat(180)
const silent = { info() {}, warn() {}, error() {} }
/** As a source should: what is older than what it has is left out. */
const upsert = `
  insert into meter (id, amount, note, version)
  select * from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])
  on conflict (id) do update set amount = excluded.amount, note = excluded.note, version = excluded.version
    where meter.version < excluded.version`

export async function open({ way, cacheUrl, stateUrl, databaseUrl }: MetersSetting) {
  const redis = connectRedis({ url: cacheUrl, name: 'cache' })
  const state = connectRedis({ url: stateUrl, name: 'state' })
  await Promise.all([redis.whenReady(5_000), state.whenReady(5_000)])
  const database = openDatabase({ url: databaseUrl, name: 'bench', log: silent })
  const query = queryOf(database.kysely)
  const service = `meters-${way.replaceAll(/\W+/g, '-').toLowerCase()}`
  const keys = keySpace({ environment: 'bench', service })
  const cache = createCache({ redis, keys, log: silent })
  await eventually(() => {
    if (!cache.synchronized) throw new Error('the cache is not synchronized')
  })
  const kind = cache.kind<Reading>('meter', { ttl: '1h' })
  const save = async (changes: readonly WriteBehindChange<Reading>[]) => {
    await query(upsert, [
      changes.map(({ key }) => key),
      changes.map(({ value }) => value.amount),
      changes.map(({ value }) => value.note),
      changes.map(({ version }) => version),
    ])
  }
  let writes: WriteBehind<Reading> | undefined
  if (way.startsWith('put')) {
    const replicas = way === 'put' ? 0 : 1
    writes = cache.writeBehind(kind, {
      redis: state,
      name: 'meters',
      write: save,
      replicas,
      batchSize: 500,
    })
  }

  let turn = 0
  const ways: Record<Way, (id: string, value: Reading) => Promise<unknown>> = {
    SET: (id, value) => redis.client.set(`bench:set:${id}`, JSON.stringify(value), 'PX', 3_600_000),
    'kind.set': (id, value) => kind.set(id, value),
    update: (id, value) =>
      kind.update(id, async () => {
        await save([{ key: id, value, version: turn }])
        return value
      }),
    put: async (id, value) => writes?.put(id, value),
    'put, replicas: 1': async (id, value) => writes?.put(id, value),
  }
  const change = ways[way]

  async function timed(times: number, atOnce: number, one: (at: number) => Promise<unknown>) {
    const cpu = process.cpuUsage()
    const startedMs = performance.now()
    let left = times
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (left-- > 0) await one(turn++)
      }),
    )
    const ms = performance.now() - startedMs
    const { user, system } = process.cpuUsage(cpu)
    return { ms, cpuMs: (user + system) / 1_000 }
  }
  const untilWritten = () =>
    eventually(
      async () => {
        const { changes = 0 } = (await writes?.backlog()) ?? {}
        if (changes > 0) throw new Error(`${changes} changes wait`)
      },
      { withinMs: 60_000, everyMs: 2 },
    )

  return {
    /** Changes readings, each of another meter than those before it. Others wait until the source has all. */
    async change(times: number, atOnce: number, isWhole: boolean): Promise<Took> {
      const startedMs = performance.now()
      const { ms, cpuMs } = await timed(times, atOnce, (at) =>
        change(`m${at % meters}`, { amount: at, note }),
      )
      await untilWritten()
      return { ms: isWhole ? performance.now() - startedMs : ms, cpuMs }
    },
    /** Reads what is not cached. */
    load: (times: number, atOnce: number): Promise<Took> =>
      timed(times, atOnce, (at) => kind.getOrSet(`fresh${at}`, () => ({ amount: at, note }))),
    async close(): Promise<void> {
      await writes?.stop()
      cache.close()
      await Promise.all([redis.close(), state.close(), database.close()])
    },
  }
}
