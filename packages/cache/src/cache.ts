import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createChannel } from '@wattle/redis'
import type { CacheOptions } from './cache-options.ts'
import { createCounter, type CounterKind } from './counter.ts'
import type { Duration } from './duration.ts'
import { exposeCache } from './internals.ts'
import { createInvalidation, type Invalidation } from './invalidation.ts'
import { forgetOldTags } from './janitor.ts'
import { createKind, type Kind } from './kind.ts'
import { KindCore } from './kind-core.ts'
import { encodeBeginnings, kindName, reserved } from './kind-name.ts'
import { createLoads } from './loads.ts'
import { Local } from './local.ts'
import { checkPlan, createLoadedKind, type KindPlan, type LoadedKind, type Loader } from './plan.ts'
import { policyOf, type KindOptions } from './policy.ts'
import { createReads } from './reads.ts'
import { decodeRefs, encodeRefs, readMessage, type Ref } from './refs.ts'
import { closeWithinMs, createRemote } from './remote.ts'
import type { Rules, RuleTable } from './rules.ts'
import { createWaiting, tagNames, type Space } from './space.ts'
import { createStatistics, type KindStatistics } from './statistics.ts'
import { createStore, type Store } from './store.ts'
import { TurnClock } from './turn-clock.ts'
import { createWriteMetrics } from './write-behind/counts.ts'
import type { WriteBehind, WriteBehindOptions } from './write-behind/options.ts'
import { createWriteBehind } from './write-behind/write-behind.ts'

export type Cache = {
  /** Declares what a service caches. The returned object has one member for each line of the plan. */
  define<T extends Record<string, Loader>>(plan: {
    [K in keyof T]: KindPlan<T[K]>
  }): { [K in keyof T]: LoadedKind<T[K]> }
  /** A kind whose values are loaded by whoever asks. Throws when the kind, at this version, is there already. */
  kind<V>(
    name: string,
    options: KindOptions & { valueTags?: (value: NonNullable<V>) => readonly string[] },
  ): Kind<V>
  /** Numbers that are counted in Redis. */
  counter(name: string, options: { ttl: Duration }): CounterKind
  /**
   * Invalidates what is named. Call it after the write has been committed. `applied`: a master executed it, and from
   * then on the promises of the README hold. `deferred`: Redis cannot be reached; it is kept, and until it has been
   * executed this process reads from the source. Never rejects, and takes 100 ms at most; longer only for patterns.
   */
  invalidate(refs: readonly Ref[]): Promise<Invalidation>
  /**
   * Invalidates every entry whose key begins like this: `user:*`, `bills:usr_7:*`. It walks over all keys of the Redis,
   * so it is for operators and rare events; a tag does the same at once. A part that stands in keys as a hash (a personal
   * one, or one of more than 100 characters) has to be given whole.
   */
  invalidatePattern(pattern: string): Promise<Invalidation>
  /**
   * Lets changes of a kind be accepted by a durable stream, and written to the source in batches; see
   * `docs/write-behind.md`. From then on its values are changed by `put` alone. Once for each kind.
   */
  writeBehind<V>(kind: Kind<V>, options: WriteBehindOptions<V>): WriteBehind<V>
  /** Keys are given as the plan's `key` returns them. */
  writeBehind<L extends Loader>(
    kind: LoadedKind<L>,
    options: WriteBehindOptions<Awaited<ReturnType<L>>>,
  ): WriteBehind<Awaited<ReturnType<L>>>
  /** Which events invalidate what. */
  rules<Events>(table: RuleTable<Events>): Rules<Events>
  /** The event types of every table given to `rules`. */
  readonly ruleNames: readonly string[]
  /** The kinds that were declared, with their options. */
  readonly kinds: readonly { readonly name: string; readonly options: KindOptions }[]
  /** The history of Redis that this process follows: another one after each failover. Undefined before the first answer. */
  readonly history: string | undefined
  /** What is to be invalidated as text, to be stored and read back by the same service, also at another version. */
  encodeRefs(refs: readonly Ref[]): string
  decodeRefs(text: string): Ref[]
  /** Whether this process has proof, not older than a second, of having heard every invalidation. */
  readonly synchronized: boolean
  /**
   * Resolves to whether it has it, after `timeoutMs` at the latest. Never rejects. Nobody has to wait for it: until then reads
   * load, and invalidations are kept.
   */
  whenSynchronized(timeoutMs: number): Promise<boolean>
  statistics(): Record<string, KindStatistics>
  /** From now on every read loads; invalidations go on, so that it can be switched on again at any time. */
  switchOff(): void
  switchOn(): void
  readonly enabled: boolean
  close(): void
}

const synchronizedPollMs = 5
const janitorEveryMs = 10 * 60_000

/** The cache of one service: its namespace on a shared Redis, and what this process keeps of it. */
export function createCache(options: CacheOptions): Cache {
  const { redis, keys, log, registry, now, wallNow, random = Math.random } = options
  const { maxEntries = 10_000, maxBytes = 32 * 1024 * 1024 } = options.l1 ?? {}
  const monotonic = now ?? (() => performance.now())
  const statistics = createStatistics({ service: keys.service, registry })
  const local = new Local({ maxEntries, maxBytes })
  const waiting = createWaiting()

  const channel = createChannel({
    redis,
    keys,
    name: 'invalidations',
    log,
    closeWithinMs,
    now: monotonic,
    ...(wallNow ? { wallNow } : {}),
    listener: {
      apply(payload, shard) {
        const message = readMessage(payload)
        local.apply(message)
        statistics.lag(shard.clock.nowMs() - message.ms)
      },
      lost: () => local.lose(),
      signal(text) {
        const space = text.indexOf(' ')
        waiting.wake(text.slice(space + 1), text.startsWith('failed') ? 'failed' : 'filled')
      },
    },
    collapse: (shard) => invalidation.collapse(shard),
  })

  const process = randomBytes(9).toString('base64url')
  let tokens = 0
  const space: Space = {
    keys,
    redis,
    channel,
    remotes: [],
    local,
    loads: createLoads({ most: options.loads ?? 256, now: monotonic }),
    waiting,
    tags: tagNames({ keys, channel }),
    statistics,
    reads: createReads(random),
    log,
    // A clock that a test turns must be looked at each time.
    clock: now ? { nowMs: now } : new TurnClock(),
    now: monotonic,
    random,
    nextToken: () => `${process}.${tokens++}`,
    enabled: true,
  }
  const invalidation = createInvalidation(space)
  const remotes = channel.shards.map((shard) => {
    const generationsKey = invalidation.generationsKey(shard)
    return createRemote({ redis, channel, shard, generationsKey, statistics, now: monotonic })
  })
  Object.assign(space, { remotes })
  statistics.show({
    l1Entries: () => local.l1.entries,
    l1Bytes: () => local.l1.bytes,
    evictions: () => local.l1.evictions,
    synchronized: () => channel.trusted,
    circuitOpen: () => channel.shards.some(({ circuit }) => circuit.state === 'open'),
  })

  const writeMetrics = createWriteMetrics({ service: keys.service, registry })
  const cores = new Map<string, KindCore>()
  const loaded = new Map<string, LoadedKind<Loader>>()
  const insides = new WeakMap<object, { core: KindCore; store: Store }>()
  const declared: { name: string; options: KindOptions }[] = []
  const ruleNames: string[] = []
  const claimed = new Set<string>()
  function claim(name: string, id: string): void {
    if (reserved.has(name))
      throw new TypeError(`a kind cannot be called ${name}: choose another name`)
    if (claimed.has(id))
      throw new TypeError(`the kind ${id} is declared twice: declare it once and share it`)
    claimed.add(id)
  }

  function makeKind<V>(name: string, kindOptions: Parameters<Cache['kind']>[1]) {
    const { version = 1 } = kindOptions
    const id = `${name}@${version}`
    const policy = policyOf(name, kindOptions)
    const names = kindName(keys, name, version)
    claim(name, id)
    const valueTags = kindOptions.valueTags as ((value: unknown) => readonly string[]) | undefined
    const core = new KindCore({ names, policy, space, valueTags })
    cores.set(id, core)
    declared.push({ name, options: kindOptions })
    const store = createStore({ core, invalidation })
    const kind = createKind<V>({ core, store, invalidate })
    insides.set(kind, { core, store })
    return { core, store, kind }
  }

  const { invalidate } = invalidation
  const janitor = setInterval(
    () => {
      for (const shard of channel.shards) forgetOldTags(space, shard).catch(() => {})
    },
    janitorEveryMs * (0.75 + random() / 2),
  )
  janitor.unref()

  const cache: Cache = {
    define<T extends Record<string, Loader>>(plan: { [K in keyof T]: KindPlan<T[K]> }) {
      const lines = Object.entries(plan) as [string, KindPlan<Loader>][]
      for (const [name, line] of lines) checkPlan(name, line)
      return Object.fromEntries(
        lines.map(([name, line]) => {
          const made = makeKind<unknown>(name, line)
          const kind = createLoadedKind({ ...made, plan: line })
          loaded.set(`${name}@${made.core.names.version}`, kind)
          insides.set(kind, made)
          return [name, kind]
        }),
      ) as { [K in keyof T]: LoadedKind<T[K]> }
    },
    kind: <V>(name: string, kindOptions: Parameters<Cache['kind']>[1]) =>
      makeKind<V>(name, kindOptions).kind,
    counter(name, { ttl }) {
      const counter = createCounter(space, kindName(keys, name, 1), ttl)
      claim(name, `${name}@1`)
      return counter
    },
    invalidate,
    async invalidatePattern(pattern) {
      const [, name = '', beginning] = /^([a-z][a-z0-9-]*):([^*]*)\*$/i.exec(pattern) ?? []
      const matching = [...cores.values()].filter((core) => core.name === name)
      if (beginning === undefined || matching.length === 0) {
        throw new TypeError(
          `"${pattern}" is no pattern: write a kind (${[...new Set(declared.map((kind) => kind.name))].join(', ')}), a colon, the beginning of a key and *`,
        )
      }
      return invalidate(
        matching.flatMap(({ names }) =>
          encodeBeginnings(names, beginning).map((startingWith) => ({ startingWith, kind: names })),
        ),
      )
    },
    writeBehind<V>(kind: { readonly name: string }, writeOptions: WriteBehindOptions<V>) {
      const inside = insides.get(kind)
      if (!inside) {
        throw new TypeError(`writeBehind was given a kind of another cache: give it one of this`)
      }
      if (inside.core.overlay) {
        throw new TypeError(
          `${kind.name} is written behind already: make its write-behind once and share it`,
        )
      }
      const parts = { ...inside, keys, invalidate, metrics: writeMetrics }
      return createWriteBehind<V>(parts, writeOptions)
    },
    rules<Events>(table: RuleTable<Events>): Rules<Events> {
      const types = Object.keys(table) as (keyof Events & string)[]
      ruleNames.push(...types)
      const refs = <Type extends keyof Events>(type: Type, event: Events[Type]) =>
        table[type]?.(event) ?? []
      const on = async <Type extends keyof Events>(type: Type, event: Events[Type]) => {
        await invalidate(refs(type, event))
      }
      const handlers = Object.fromEntries(
        types.map((type) => [type, (event: Events[typeof type]) => on(type, event)]),
      ) as unknown as Rules<Events>['handlers']
      return { refs, on, handlers }
    },
    ruleNames,
    kinds: declared,
    get history() {
      const epochs = channel.shards.map(({ epoch }) => epoch)
      return epochs.includes('') ? undefined : epochs.join()
    },
    encodeRefs,
    decodeRefs: (text) =>
      decodeRefs(text, (name) => [...cores.values()].find((core) => core.name === name)?.names),
    get synchronized() {
      return channel.trusted
    },
    async whenSynchronized(timeoutMs) {
      const untilMs = performance.now() + timeoutMs
      while (!channel.trusted && performance.now() < untilMs) await sleep(synchronizedPollMs)
      return channel.trusted
    },
    statistics: statistics.snapshot,
    switchOff() {
      space.enabled = false
      local.lose()
    },
    switchOn() {
      space.enabled = true
    },
    get enabled() {
      return space.enabled
    },
    close() {
      clearInterval(janitor)
      channel.close()
    },
  }
  exposeCache(cache, { space, cores, loaded, registry })
  return cache
}
