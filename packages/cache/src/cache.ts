import { randomUUID } from 'node:crypto'
import type { KeyPart, KeySpace, RedisConnection } from '@wattle/redis'
import type { Registry } from 'prom-client'
import { createCircuit } from './circuit.ts'
import { durationMs, type Duration } from './duration.ts'
import { decodeEntry, encodeEntry, type Cacheable } from './entry.ts'
import { createStatistics, type KindStatistics, type ReadStatus } from './statistics.ts'
import { createTier, type InvalidationResult, type Log } from './tier.ts'

type Loader = (...args: never[]) => Promise<Cacheable | undefined>

/** One line of a plan: a kind of cached thing. The parameters of `load` are those of `key` and `tags`. */
export type KindPlan<L extends Loader> = {
  /** Reads the source. What it rejects with reaches every waiting caller; `undefined` (absent) is not cached. */
  load: L
  /** The parts of the key. Mark personal ones with `personal()`. */
  key: (...args: Parameters<L>) => readonly KeyPart[]
  ttl: Duration
  /** Names under which the entry can be invalidated together with others; known before it is loaded. */
  tags?: (...args: Parameters<L>) => readonly string[]
  /** Grows when the shape of the value changes; entries of another version are not seen. */
  version?: number
}

/** A value and where it came from. */
export type ReadOutcome<V> = {
  readonly value: V
  readonly status: ReadStatus
  readonly key: string
  /** Time since it was loaded, and until it expires; both 0 where nothing is stored. */
  readonly ageMs: number
  readonly ttlMs: number
}

export type Kind<L extends Loader> = {
  /** The value: from Redis, or from `load`. Rejects only when `load` does. */
  get(...args: Parameters<L>): ReturnType<L>
  /** The same, with where it came from. */
  read(...args: Parameters<L>): Promise<ReadOutcome<Awaited<ReturnType<L>>>>
  /** Names the entry, for `invalidate`. */
  ref(...args: Parameters<L>): Ref
}

/** What an invalidation can name: one entry, or all that carry a tag. */
export type Ref = { readonly entry: string } | { readonly tag: string }

/** All entries of the namespace that carry this tag. */
export const tag = (name: string): Ref => ({ tag: name })

export type Cache = {
  /** Declares what a service caches. The returned object has one member for each kind of the plan. */
  define<T extends Record<string, Loader>>(plan: {
    [K in keyof T]: KindPlan<T[K]>
  }): { [K in keyof T]: Kind<T[K]> }
  /**
   * Removes what is named. Call it after the write has been committed. Resolves `applied` when Redis did it: no
   * value loaded before can be stored any more. Resolves `deferred` when Redis cannot be reached: it is kept, and
   * this process reads from the source until it has been replayed. Never rejects.
   */
  invalidate(refs: readonly Ref[]): Promise<InvalidationResult>
  statistics(): Record<string, KindStatistics>
  close(): void
}

const leaseMs = 5_000
const jitterShare = 0.1

export type CacheOptions = {
  redis: RedisConnection
  keys: KeySpace
  log: Log
  registry?: Registry
  /** Longest wait for one Redis operation, in milliseconds; the source answers after it. */
  deadlineMs?: number
  now?: () => number
  random?: () => number
}

/** The cache of one service: its namespace on a shared Redis. */
export function createCache({
  redis,
  keys,
  log,
  registry,
  deadlineMs = 100,
  now = Date.now,
  random = Math.random,
}: CacheOptions): Cache {
  const circuit = createCircuit({ failures: 3, openMs: 500, now })
  const statistics = createStatistics({
    service: keys.service,
    registry,
    circuitState: () => ['closed', 'half-open', 'open'].indexOf(circuit.state()),
  })
  const tier = createTier({
    redis,
    keys,
    log,
    now,
    uniqueToken: randomUUID,
    deadlineMs,
    statistics,
    circuit,
  })
  const generationOf = (name: string) => keys.key('generation', 'tag', name)
  const flights = new Map<string, Promise<ReadOutcome<unknown>>>()

  function kind<L extends Loader>(name: string, plan: KindPlan<L>): Kind<L> {
    type Value = Awaited<ReturnType<L>>
    const ttlMs = durationMs(plan.ttl)
    const keyOf = (args: Parameters<L>) =>
      keys.key(plan.version ? `${name}@${plan.version}` : name, ...plan.key(...args))

    async function load(args: Parameters<L>): Promise<Value> {
      const started = now()
      let failed = true
      try {
        const value = (await plan.load(...args)) as Value
        failed = false
        return value
      } finally {
        statistics.loaded(name, now() - started, failed)
      }
    }

    function fill(
      key: string,
      token: string,
      generations: readonly string[],
      value: Value,
    ): number {
      const lifetimeMs = Math.ceil(ttlMs * (1 - jitterShare * random()))
      let json: string
      try {
        json = JSON.stringify(value)
      } catch (cause) {
        log.warn({ err: cause, kind: name }, 'a value cannot be cached: it is not JSON')
        statistics.fillRejected(name, 'unserializable')
        return 0
      }
      const encoded = encodeEntry({ storedAtMs: now(), ttlMs: lifetimeMs, generations, json })
      void tier.fill(key, token, encoded, lifetimeMs).then((stored) => {
        if (!stored) statistics.fillRejected(name, stored === false ? 'lease' : 'unavailable')
      })
      return lifetimeMs
    }

    async function readThrough(key: string, args: Parameters<L>): Promise<ReadOutcome<Value>> {
      const generationKeys = [
        tier.namespaceGeneration,
        ...(plan.tags?.(...args) ?? []).map(generationOf),
      ]
      const found = await tier.read(key, generationKeys)
      if (!found) {
        statistics.read(name, 'bypass')
        return { value: await load(args), status: 'bypass', key, ageMs: 0, ttlMs: 0 }
      }
      const entry = found.raw === null ? undefined : decodeEntry(found.raw)
      if (entry && entry.generations.join() === found.generations.join()) {
        statistics.read(name, 'hit')
        const ageMs = Math.max(0, now() - entry.storedAtMs)
        const value = JSON.parse(entry.json) as Value
        return { value, status: 'hit', key, ageMs, ttlMs: Math.max(0, entry.ttlMs - ageMs) }
      }
      statistics.read(name, 'miss')
      const token = await tier.lease(key, leaseMs)
      const value = await load(args)
      const stored = token !== undefined && value !== undefined
      const remainingMs = stored ? fill(key, token, found.generations, value) : 0
      return { value, status: 'miss', key, ageMs: 0, ttlMs: remainingMs }
    }

    /** One flight for each key: who comes while it lasts gets its result. */
    async function read(...args: Parameters<L>): Promise<ReadOutcome<Value>> {
      const key = keyOf(args)
      const present = flights.get(key)
      if (present) return present as Promise<ReadOutcome<Value>>
      const flight = readThrough(key, args)
      flights.set(key, flight)
      try {
        return await flight
      } finally {
        if (flights.get(key) === flight) flights.delete(key)
      }
    }

    return {
      read,
      get: (async (...args: Parameters<L>) => (await read(...args)).value) as Kind<L>['get'],
      ref: (...args) => ({ entry: keyOf(args) }),
    }
  }

  return {
    define: (plan) =>
      Object.fromEntries(
        Object.entries(plan).map(([name, line]) => [name, kind(name, line)]),
      ) as never,
    async invalidate(refs) {
      const entries = refs.flatMap((ref) => ('entry' in ref ? [ref.entry] : []))
      const generations = refs.flatMap((ref) => ('tag' in ref ? [generationOf(ref.tag)] : []))
      const result = await tier.invalidate(entries, generations)
      // A flight that began before may carry the old value: later callers must not join it.
      flights.clear()
      return result
    },
    statistics: statistics.snapshot,
    close: tier.close,
  }
}
