import { slidingLog, tokenBucket, type Policy } from './policy.ts'

const minuteMs = 60_000

/** Policies for kinds of routes. Those that guard something are exact in any window. */
export const presets = {
  /** 100 a minute, evenly refilled. */
  default: tokenBucket({ limit: 100, windowMs: minuteMs }),
  /** 5 in any 15 minutes: for guesses at passwords and codes. */
  auth: slidingLog({ limit: 5, windowMs: 15 * minuteMs }),
  /** 30 a minute, evenly refilled. */
  search: tokenBucket({ limit: 30, windowMs: minuteMs }),
  /** 10 in any hour. */
  upload: slidingLog({ limit: 10, windowMs: 60 * minuteMs }),
} as const satisfies Record<string, Policy>

export type Preset = keyof typeof presets
