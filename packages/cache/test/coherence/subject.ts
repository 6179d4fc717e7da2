import type * as Redis from '@wattle/redis'
import type * as Cache from '../../src/index.ts'
import type { Origin } from './history.ts'
import type { WorkerSettings } from './messages.ts'
import { groupOf, kindOf, kinds, ownerOf, type Kind, type Value } from './plan.ts'

type CacheModule = typeof Cache
type RedisModule = typeof Redis

export type Seen = { version: number; origin: Origin }
export type Outcome = { outcome: 'applied' | 'deferred'; token: string | undefined }

/** The cache under test, in the words of the run. */
export type Subject = Awaited<ReturnType<typeof openSubject>>

/** Opens the cache of one process, from this repository or from a changed copy of it. */
export async function openSubject({
  settings: { redisUrl, modules, ports, process },
  load,
  now,
}: {
  settings: WorkerSettings
  load: (row: number) => Promise<Value>
  now: () => number
}) {
  const { connectRedis, keySpace } = (await import(modules.redis)) as RedisModule
  const { createCache, tag } = (await import(modules.cache)) as CacheModule
  const redis = connectRedis({
    url: redisUrl,
    name: `process-${process}`,
    mapAddress: ({ host, port }) => ({ host, port: ports[port] ?? port }),
  })
  await redis.whenReady(10_000)
  const keys = keySpace({ environment: 'test', service: 'billing' })
  const cache = createCache({ redis, keys, log: { info() {}, warn() {} }, now })
  const define = ({ name, way }: Kind) =>
    cache.define({
      [name]: {
        key: (row: number) => [row],
        load: (row: number) => load(row),
        ttl: '5m',
        tags: (row: number) => (way === 'tag' ? [`${name}:group:${groupOf(row)}`] : []),
      },
    })
  const plan = Object.assign({}, ...kinds.map(define)) as ReturnType<typeof define>
  const member = (row: number) => {
    const kind = plan[kindOf(row).name]
    if (!kind) throw new Error('not in the plan')
    return kind
  }
  const originOf = (status: string): Origin =>
    status === 'hit' ? 'l2' : status === 'miss' ? 'source' : 'bypass'

  /** What a write of this row, up to `version`, has to invalidate. */
  function refsOf(row: number, version: number) {
    const { name, way } = kindOf(row)
    void ownerOf(row, version - 1)
    return way === 'tag' ? [tag(`${name}:group:${groupOf(row)}`)] : [member(row).ref(row)]
  }

  return {
    async read(row: number): Promise<Seen> {
      const { value, status } = await member(row).read(row)
      if (value.row !== row) throw new Error(`row ${row} was answered with row ${value.row}`)
      return { version: value.version, origin: originOf(status) }
    },
    async readMany(rows: readonly number[]): Promise<number[]> {
      return Promise.all(rows.map(async (row) => (await member(row).get(row)).version))
    },
    async readAfter(row: number, _token: string): Promise<number> {
      return (await load(row)).version
    },
    async invalidate({ row, version }: Value): Promise<Outcome> {
      return { outcome: await cache.invalidate(refsOf(row, version)), token: undefined }
    },
    /** Commits by way of the cache, which keeps the new value. */
    async update(_row: number, write: () => Promise<Value>): Promise<Outcome & { value: Value }> {
      const value = await write()
      return { ...(await this.invalidate(value)), value }
    },
    synchronized: () => redis.state === 'ready',
    /** Why a connection will never come back, if so. */
    gaveUp: () => (redis.client.status === 'end' ? 'the Redis client is in `end`' : undefined),
    async close(): Promise<void> {
      cache.close()
      await redis.close()
    },
  }
}
