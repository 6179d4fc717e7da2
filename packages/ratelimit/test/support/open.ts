import { connectRedis, keySpace, type RedisConnection } from '@wattle/redis'
import { createRateLimits, type RateLimits, type RateLimitsOptions } from '../../src/index.ts'

const personalSecret = 'a secret of tests, long enough to be one'

/** A log that keeps its lines. */
function recordingLog() {
  const lines: string[] = []
  const at = (level: string) => (_fields: object, message: string) => {
    lines.push(`${level} ${message}`)
  }
  return { lines, info: at('info'), warn: at('warn'), error: at('error') }
}

export type Process = {
  limits: RateLimits
  redis: RedisConnection
  log: ReturnType<typeof recordingLog>
  close(): Promise<void>
}

/** The limits of a process with a connection of its own. */
export function openLimits(
  url: string,
  service: string,
  options: Partial<RateLimitsOptions> = {},
): Process {
  const log = recordingLog()
  const redis = connectRedis({ url, name: service })
  const keys = keySpace({ environment: 'test', service, personalSecret })
  const limits = createRateLimits({ redis, keys, log, ...options })
  return {
    limits,
    redis,
    log,
    async close() {
      limits.close()
      await redis.close()
    },
  }
}

/** For tests in which Redis is well: a machine that pauses is not to be taken for one that is away. */
export const patient = { deadlineMs: 2_000 }
