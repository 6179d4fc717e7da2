import type { Duration } from './duration.ts'
import type { Invalidation } from './invalidation.ts'
import type { KindCore, ReadOptions } from './kind-core.ts'
import type { Key } from './kind-name.ts'
import type { ReadOutcome } from './outcome.ts'
import { entryTtlMs } from './policy.ts'
import type { Ref } from './refs.ts'
import type { Store } from './store.ts'

/** What one call may say beyond its key. */
export type CallOptions = {
  /** Tags that the entry carries; every call for the key should name the same ones. */
  tags?: readonly string[]
  ttl?: Duration
  /** A token of `invalidate`: nothing older than that write is returned. */
  after?: string
}

/**
 * One kind of entry, for values that are read and written by key. Reads never reject because of Redis, and what they
 * return is frozen, or a copy of the caller's own where it cannot be.
 */
export type Kind<V> = {
  readonly name: string
  /** The value: from this process, from Redis, or from `load`, which then runs once in the fleet. Rejects only when `load` does. */
  getOrSet(key: Key, load: () => Promise<V> | V, options?: CallOptions): Promise<V>
  /** The same, with where it came from. */
  read(key: Key, load: () => Promise<V> | V, options?: CallOptions): Promise<ReadOutcome<V>>
  /** The same for many keys; `load` gets those that are missing, and returns their values in the same order. */
  getOrSetMany<K extends Key>(
    keys: readonly K[],
    load: (missing: readonly K[]) => Promise<readonly V[]>,
    options?: CallOptions,
  ): Promise<V[]>
  /** What the cache has, or undefined. */
  peek(key: Key): Promise<V | undefined>
  /** The same for many keys, in one round trip. */
  getMany(keys: readonly Key[]): Promise<(V | undefined)[]>
  has(key: Key): Promise<boolean>
  /** Milliseconds until the entry is no longer fresh, or undefined where there is none. */
  ttl(key: Key): Promise<number | undefined>
  /** Begins the entry's lifetime anew. Whether there was one. */
  touch(key: Key): Promise<boolean>
  /** Stores a value under the key, everywhere. Nothing is kept when the outcome is `deferred`. */
  set(key: Key, value: V, options?: CallOptions): Promise<Invalidation>
  setMany(
    entries: readonly (readonly [key: Key, value: V])[],
    options?: CallOptions,
  ): Promise<Invalidation>
  delete(key: Key): Promise<Invalidation>
  /**
   * Stores `next` if the value is still `known`; undefined stands for no entry. Whether it was. Rejects when Redis cannot
   * tell. For kinds without tags.
   */
  compareAndSet(key: Key, known: V | undefined, next: V): Promise<boolean>
  /**
   * Write-through: runs `write`, stores what it returns, and invalidates `related`. When the write rejects nothing is
   * stored, the entry is gone, and the rejection is passed on.
   */
  update(
    key: Key,
    write: () => Promise<V>,
    related?: readonly Ref[],
    options?: CallOptions,
  ): Promise<V>
  /** Names the entry, for `invalidate`. */
  ref(key: Key): Ref
  /** Names every entry whose key begins with these parts and has at least one more. */
  startingWith(...parts: Exclude<Key, string | number>): Ref
  /** Names every entry of the kind. */
  all(): Ref
}

export function createKind<V>({
  core,
  store,
  invalidate,
}: {
  core: KindCore
  store: Store
  invalidate: (refs: readonly Ref[]) => Promise<Invalidation>
}): Kind<V> {
  const { names } = core
  const optionsOf = (options: CallOptions | undefined) =>
    options && {
      tags: options.tags,
      after: options.after,
      ttlMs: options.ttl === undefined ? undefined : entryTtlMs(core.name, options.ttl),
    }
  const ref = (key: Key): Ref => ({ entry: names.encode(key), kind: names })
  const look = async (key: Key) => (await core.peek(key)) as ReadOutcome<V | undefined>
  const peek = async (key: Key) => (await look(key)).value

  return {
    name: core.name,
    getOrSet: (key, load, options) =>
      // The options of a hit are of no use but for the token; they are looked at where they are.
      core.get(key, load, options?.ttl === undefined ? options : optionsOf(options)) as Promise<V>,
    read: (key, load, options) =>
      core.read(key, load, optionsOf(options)) as Promise<ReadOutcome<V>>,
    getOrSetMany: (keys, load, options) =>
      getMany(core, keys, load, () => optionsOf(options)) as Promise<V[]>,
    peek,
    getMany: (keys) => Promise.all(keys.map(peek)),
    has: async (key) => (await look(key)).status !== 'miss',
    async ttl(key) {
      const { status, ttlMs } = await look(key)
      return status === 'miss' ? undefined : ttlMs
    },
    touch: store.touch,
    set: (key, value, options) => store.putAll([{ key, value }], optionsOf(options) ?? {}),
    setMany: (entries, options) =>
      store.putAll(
        entries.map(([key, value]) => ({ key, value })),
        optionsOf(options) ?? {},
      ),
    delete: (key) => invalidate([ref(key)]),
    compareAndSet: store.compareAndSet,
    async update(key, write, related = [], options) {
      try {
        return (await store.update(key, write, optionsOf(options) ?? {})).value
      } finally {
        if (related.length > 0) await invalidate(related)
      }
    },
    ref,
    startingWith: (...parts) => ({
      startingWith: parts.length === 0 ? '' : `${names.encode(parts)}:`,
      kind: names,
    }),
    all: () => ({ all: names }),
  }
}

/** Many keys at once: their reads travel together, and so do the loads of those that are missing. */
export function getMany<K extends Key>(
  core: KindCore,
  keys: readonly K[],
  load: (missing: readonly K[]) => Promise<readonly unknown[]>,
  optionsOf: (key: K) => ReadOptions | undefined,
  argsOf?: (key: K) => readonly unknown[],
): Promise<unknown[]> {
  const together = bulk(load)
  return Promise.all(
    keys.map((key) => core.get(key, () => together(key), optionsOf(key), argsOf?.(key))),
  )
}

/** Joins the calls of one turn into one. */
export function bulk<K>(load: (keys: readonly K[]) => Promise<readonly unknown[]>) {
  type Call = { key: K; resolve: (value: unknown) => void; reject: (cause: unknown) => void }
  let waiting: Call[] = []
  async function flush(): Promise<void> {
    const calls = waiting
    waiting = []
    try {
      const values = await load(calls.map(({ key }) => key))
      if (!Array.isArray(values) || values.length !== calls.length) {
        throw new TypeError(
          `a bulk loader was asked for ${calls.length} keys and must return as many values, in their order`,
        )
      }
      for (const [at, { resolve }] of calls.entries()) resolve(values[at])
    } catch (cause) {
      for (const { reject } of calls) reject(cause)
    }
  }
  return (key: K) =>
    new Promise<unknown>((resolve, reject) => {
      if (waiting.push({ key, resolve, reject }) === 1) process.nextTick(() => void flush())
    })
}
