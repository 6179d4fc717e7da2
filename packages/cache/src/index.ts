export {
  createCache,
  tag,
  type Cache,
  type CacheOptions,
  type Kind,
  type KindPlan,
  type ReadOutcome,
  type Ref,
} from './cache.ts'
export type { Duration } from './duration.ts'
export type { Cacheable } from './entry.ts'
export type { KindStatistics, ReadStatus } from './statistics.ts'
export type { InvalidationResult } from './tier.ts'
