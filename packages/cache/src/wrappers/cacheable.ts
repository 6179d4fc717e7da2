import type { KeyPart } from '@wattle/redis'
import type { Kind } from '../kind.ts'
import type { Key } from '../kind-name.ts'
import type { Ref } from '../refs.ts'

/** How the arguments of a function become a key, and which tags its value gets. */
export type CacheableOptions<This, Args extends unknown[], V> = {
  /** Where the values are kept; made by `cache.kind`. */
  kind: Kind<V>
  /** Names under which the value can be invalidated together with others. */
  tags?: (this: This, ...args: Args) => readonly string[]
} & KeyOption<This, Args>

/** Without `key` the arguments are the key, which only works where they can be one. */
export type KeyOption<This, Args extends unknown[]> = Args extends readonly KeyPart[]
  ? { key?: (this: This, ...args: Args) => Key }
  : { key: (this: This, ...args: Args) => Key }

/** A function that asks the cache first. */
export type CacheableFunction<This, Args extends unknown[], V> = {
  (this: This, ...args: Args): Promise<V>
  /** Names the entry of these arguments, for `invalidate` and `evicts`. */
  ref(this: unknown, ...args: Args): Ref
}

/**
 * The function with a cache in front: called with arguments of the same key, it loads once, and as long as the value is
 * kept it does not load at all. Concurrent calls share one load, in the whole fleet. Rejects only when `load` does.
 *
 * `this` is passed on to `load`, `key` and `tags`; what the value depends on must be in the key, `this` included.
 */
export function cacheable<This, Args extends unknown[], V>(
  load: (this: This, ...args: Args) => Promise<V>,
  options: CacheableOptions<This, Args, V>,
): CacheableFunction<This, Args, V> {
  const { kind, tags } = options
  const keyOf = options.key ?? ((...args: Args) => args as readonly KeyPart[])
  async function cached(this: This, ...args: Args): Promise<V> {
    const key = keyOf.apply(this, args)
    const loadIt = () => load.apply(this, args)
    return kind.getOrSet(key, loadIt, tags && { tags: tags.apply(this, args) })
  }
  const ref = (...args: Args) => kind.ref(keyOf.apply(undefined as This, args))
  return named(load.name, Object.assign(cached, { ref }))
}

/** A wrapper is seen under the name of what it wraps, in stack traces and by decorators. */
export function named<F extends object>(name: string, wrapper: F): F {
  return Object.defineProperty(wrapper, 'name', { value: name, configurable: true })
}
