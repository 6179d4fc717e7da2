import type { ShardOptions } from './shard-options.ts'

const againMs = 60_000
const noRight = /^(NOPERM|ERR The user executing the script can't)/

/**
 * Tells, once a minute, that the server refuses what a shard needs and waiting does not heal: until somebody grants it
 * nothing is trusted, and without a line in the log nobody would know why. What a failover refuses is told elsewhere.
 */
export function createRefusals({ redis, log, now }: Pick<ShardOptions, 'redis' | 'log' | 'now'>) {
  let againAtMs = -Infinity
  return (cause: unknown): void => {
    if (!(cause instanceof Error) || !noRight.test(cause.message) || now() < againAtMs) return
    againAtMs = now() + againMs
    log.warn(
      { redis: redis.name, err: cause },
      `Redis ${redis.name} refuses what a channel needs, so that nothing of it is trusted: ${cause.message}`,
    )
  }
}
