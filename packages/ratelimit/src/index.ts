export {
  fixedWindow,
  leakyBucket,
  scaledBy,
  slidingCounter,
  slidingLog,
  tokenBucket,
  type Algorithm,
  type Policy,
} from './policy.ts'
export { createRateLimits, type RateLimits, type RateLimitsOptions } from './limits.ts'
export {
  dependency,
  shedLowFirst,
  type CallOptions,
  type Decision,
  type Dependency,
  type Level,
  type LevelState,
  type Limit,
  type LimitOptions,
  type LimitStatistics,
  type Priority,
} from './limit.ts'
export { adaptive } from './adaptive.ts'
export {
  addressGroup,
  byAddress,
  clientAddress,
  countryFromHeader,
  type ClientAddress,
} from './address.ts'
export { presets, type Preset } from './presets.ts'
export { limitHeaders } from './headers.ts'
export {
  rateLimit,
  type RateLimitPluginOptions,
  type RouteLimit,
  type RouteLimitChoice,
} from './plugin.ts'
