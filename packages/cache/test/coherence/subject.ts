import type * as Redis from '@wattle/redis'
import type * as Cache from '../../src/index.ts'
import type { Origin } from './history.ts'
import { wrapKind, type WrappedKind } from './features/wrapped.ts'
import type { WorkerSettings } from './messages.ts'
import { groupOf, ownerOf, type Kind, type Plan, type Value } from './plan.ts'

/** After longer than this the cache gives an invalidation up for the moment. */
const deadlineMs = 90

export type Seen = { version: number; origin: Origin }
export type Outcome = { outcome: 'applied' | 'deferred'; token: string | undefined }

/** The cache under test, in the words of the run. */
export type Subject = Awaited<ReturnType<typeof openSubject>>

/** Opens the cache of one process, from this repository or from a changed copy of it. */
export async function openSubject({
  settings: { redisUrl, stateUrl, modules, ports, process, auditor },
  plan: { kinds, kindOf },
  load,
  query,
  wallNow,
}: {
  settings: WorkerSettings
  plan: Plan
  load: (row: number) => Promise<Value>
  query: Cache.SqlQuery
  wallNow: () => number
}) {
  const { connectRedis, keySpace } = (await import(modules.redis)) as typeof Redis
  const cacheModule = (await import(modules.cache)) as typeof Cache
  const { createCache, createOutbox, createLocks, tag } = cacheModule
  const redis = connectRedis({
    url: redisUrl,
    name: `process-${process}`,
    mapAddress: ({ host, port }) => ({ host, port: ports[port] ?? port }),
  })
  const state = stateUrl ? connectRedis({ url: stateUrl, name: `state-${process}` }) : undefined
  await Promise.all([redis.whenReady(10_000), state?.whenReady(10_000)])
  const log = { info() {}, warn() {}, error() {} }
  const keys = keySpace({ environment: 'test', service: 'billing' })
  const cache = createCache({
    redis,
    keys,
    log,
    // In every other process fewer than there are rows, so that entries come and go; in the rest what is stale stays.
    l1: { maxEntries: process % 2 === 1 ? 80 : 1_000 },
    wallNow,
  })

  const outbox = createOutbox({ cache, query, log })

  const optionsOf = ({ way, strict }: Kind): Cache.KindOptions => ({
    strict,
    l1: !auditor,
    // Some age as well, so that they are refreshed and served stale by age, which must not hide a write.
    ttl: '10m',
    ...(way === 'key' ? { ttl: '2s', grace: '10s' } : {}),
    ...(way === 'adaptive'
      ? { ttl: '400ms', adaptive: { min: '200ms', max: '5s' }, grace: '10s' }
      : {}),
  })
  const define = (kind: Kind) => {
    const { name, way } = kind
    return cache.define({
      [name]: {
        ...optionsOf(kind),
        load: (row: number) => load(row),
        key: (row: number) => (way === 'pattern' ? [`group${groupOf(row)}`, row] : [`row${row}`]),
        ...(way === 'key'
          ? { loadMany: (some: readonly [number][]) => Promise.all(some.map(([row]) => load(row))) }
          : {}),
        ...(way === 'tag' ? { tags: (row: number) => [`${name}-group-${groupOf(row)}`] } : {}),
        ...(way === 'valueTag'
          ? { valueTags: ({ owner }: Value) => [`${name}-owner-${owner}`] }
          : {}),
      },
    })
  }
  const loaded = Object.assign(
    {},
    ...kinds.filter(({ way }) => way !== 'wrapped').map(define),
  ) as ReturnType<typeof define>
  let calls = 0
  const wrapped = new Map(
    kinds
      .filter(({ way }) => way === 'wrapped')
      .map((kind): [string, WrappedKind] => {
        const parts = { modules: cacheModule, cache, load, called: () => void calls++ }
        const made = cache.kind<Value>(kind.name, optionsOf(kind))
        return [kind.name, wrapKind({ ...parts, kind: made, decorated: !kind.strict })]
      }),
  )
  const memberOf = (row: number) => loaded[kindOf(row).name]
  const member = (row: number) => {
    const kind = memberOf(row) ?? wrapped.get(kindOf(row).name)
    if (!kind) throw new Error(`the kind of row ${row} is not in the plan`)
    return kind
  }
  const loadedMember = (row: number) => {
    const kind = memberOf(row)
    if (!kind) throw new Error(`row ${row} has no kind with a loader of its own`)
    return kind
  }

  /** What a write that made `version` of the row has to invalidate. */
  function refOf(row: number, version: number): Cache.Ref {
    const { name, way } = kindOf(row)
    switch (way) {
      case 'tag':
        return tag(`${name}-group-${groupOf(row)}`)
      case 'valueTag':
        return tag(`${name}-owner-${ownerOf(row, version - 1)}`)
      case 'pattern':
        return loadedMember(row).startingWith(`group${groupOf(row)}`)
      case 'generation':
        return loadedMember(row).all()
      default:
        return member(row).ref(row)
    }
  }

  function versionOf(row: number, value: Value): number {
    if (value.row !== row) throw new Error(`row ${row} was answered with row ${value.row}`)
    return value.version
  }

  /** For calls that do not tell: what could not be sent takes the trust of the process away, until it has been. */
  async function guessed(
    commit: () => Promise<Value>,
    call: (timed: () => Promise<Value>) => Promise<Value>,
  ): Promise<Outcome & { value: Value }> {
    let committedAt = 0
    const value = await call(async () => {
      const committed = await commit()
      committedAt = performance.now()
      return committed
    })
    const isSure = cache.synchronized && performance.now() - committedAt < deadlineMs
    return { value, outcome: isSure ? 'applied' : 'deferred', token: undefined }
  }

  let outlived = 0
  return {
    /** What the features of the run are made of. */
    cache,
    cacheModule,
    state,
    memberOf,
    locks: state && createLocks({ redis: state, keys }),
    activity: () => ({
      'calls of wrapped functions': calls,
      'reads of a TTL that has grown': outlived,
    }),
    /** By the way that tells where the value came from. */
    async read(row: number): Promise<Seen> {
      const { value, status, tier, ttlMs } = await member(row).read(row)
      if (kindOf(row).way === 'adaptive' && ttlMs > 400) outlived++
      return { version: versionOf(row, value), origin: status === 'bypass' ? 'bypass' : tier }
    },
    /** By the fast way. */
    async get(row: number): Promise<Seen> {
      return { version: versionOf(row, await member(row).get(row)), origin: 'unknown' }
    },
    /** Rows of one kind. */
    async getMany(rows: readonly number[]): Promise<Seen[]> {
      const values = await member(rows[0] ?? 0).getMany(rows.map((row) => [row]))
      return values.map((value, at) => ({
        version: versionOf(rows[at] ?? 0, value),
        origin: 'unknown',
      }))
    },
    async readAfter(row: number, token: string): Promise<Seen> {
      const { value, tier } = await member(row).readAfter(token, row)
      return { version: versionOf(row, value), origin: tier }
    },
    async invalidate({ row, version }: Value): Promise<Outcome> {
      return cache.invalidate([refOf(row, version)])
    },
    /** Commits by way of the cache, which keeps the new value. */
    update: (row: number, commit: () => Promise<Value>): Promise<Outcome & { value: Value }> =>
      guessed(commit, (timed) => loadedMember(row).update([row], timed)),
    /** Commits by way of a function that is wrapped by `evicts`. */
    async save(row: number, commit: () => Promise<Value>): Promise<Outcome & { value: Value }> {
      const kind = wrapped.get(kindOf(row).name)
      if (!kind) throw new Error(`row ${row} is not wrapped`)
      return guessed(commit, (timed) => kind.save(row, timed))
    },
    /** Commits together with what is to be invalidated. */
    async writeWithOutbox(
      commit: (also: (query: Cache.SqlQuery, value: Value) => Promise<void>) => Promise<Value>,
    ): Promise<Outcome & { value: Value }> {
      let named: (query: Cache.SqlQuery, refs: readonly Cache.Ref[]) => Promise<void>
      const committed = () =>
        commit((transaction, { row, version }) => named(transaction, [refOf(row, version)]))
      return guessed(committed, (timed) =>
        outbox.write((invalidates) => {
          named = invalidates
          return timed()
        }),
      )
    },
    synchronized: () => cache.synchronized,
    /** Why a connection will never come back, if so. */
    gaveUp: () => (redis.client.status === 'end' ? 'the Redis client is in `end`' : undefined),
    async close(): Promise<void> {
      await outbox.stop()
      cache.close()
      await Promise.all([redis.close(), state?.close()])
    },
  }
}
