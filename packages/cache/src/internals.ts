import type { Registry } from 'prom-client'
import type { Cache } from './cache.ts'
import type { KindCore } from './kind-core.ts'
import type { KeyOf, KindPlan, LoadedKind, Loader } from './plan.ts'
import type { Space } from './space.ts'

/** What the features beside the core (audit, warming, hot keys, budget) see of a cache and of a kind; not exported from the package. */
export type CacheInternals = {
  readonly space: Space
  /** By name and version: `bill@1`. */
  readonly cores: ReadonlyMap<string, KindCore>
  /** Those that know how to load. */
  readonly loaded: ReadonlyMap<string, LoadedKind<Loader>>
  readonly registry: Registry | undefined
}
export type KindInternals = {
  readonly core: KindCore
  readonly plan: KindPlan<Loader>
  readonly keyOf: KeyOf
}

const caches = new WeakMap<Cache, CacheInternals>()
const kinds = new WeakMap<object, KindInternals>()

export const exposeCache = (cache: Cache, internals: CacheInternals) => caches.set(cache, internals)
export const expose = (kind: object, internals: KindInternals) => kinds.set(kind, internals)

/** Throws a TypeError for what `createCache` did not make. */
export function internalsOf(cache: Cache): CacheInternals {
  const internals = caches.get(cache)
  if (!internals) throw new TypeError('this is no cache: give the object that createCache returned')
  return internals
}

/** Throws a TypeError for what `define` did not make. */
export function kindInternalsOf(kind: object): KindInternals {
  const internals = kinds.get(kind)
  if (!internals)
    throw new TypeError('this is no kind with a loader: give a member of what define returned')
  return internals
}
