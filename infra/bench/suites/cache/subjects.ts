import type { Open } from './subject.ts'

/** Who is measured. A library is loaded only in the process that measures it. */
export const subjects = {
  wattle: async () => (await import('./ours.ts')).wattle,
  'wattle getOrSet': async () => (await import('./ours.ts')).wattleGetOrSet,
  'wattle strict': async () => (await import('./ours.ts')).wattleStrict,
  'lru-cache': async () => (await import('./floors.ts')).lruCache,
  ioredis: async () => (await import('./floors.ts')).ioredis,
  'ioredis MGET': async () => (await import('./floors.ts')).ioredisMget,
  'layered-loader': async () => (await import('./peers/layered-loader.ts')).layeredLoader,
  '@unkey/cache': async () => (await import('./peers/unkey-cache.ts')).unkeyCache,
  'async-cache-dedupe': async () =>
    (await import('./peers/async-cache-dedupe.ts')).asyncCacheDedupe,
  'bentocache, objects in L1': async () =>
    (await import('./peers/bentocache.ts')).bentocacheObjects,
  bentocache: async () => (await import('./peers/bentocache.ts')).bentocache,
  cacheable: async () => (await import('./peers/cacheable.ts')).cacheable,
  'cache-manager': async () => (await import('./peers/cache-manager.ts')).cacheManager,
} satisfies Record<string, () => Promise<Open>>

export type SubjectName = keyof typeof subjects

export const ours: readonly SubjectName[] = ['wattle', 'wattle getOrSet', 'wattle strict']

export const peers: readonly SubjectName[] = [
  'layered-loader',
  '@unkey/cache',
  'async-cache-dedupe',
  'bentocache, objects in L1',
  'bentocache',
  'cacheable',
  'cache-manager',
]
