import { connectRedis, keySpace, type RedisConnection } from '@wattle/redis'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { test as base } from 'vitest'
import { createRateLimits, type RateLimits, type RateLimitsOptions } from '../../src/index.ts'

export const personalSecret = 'a secret of tests, long enough to be one'

/** A log that keeps its lines. */
export function recordingLog() {
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

let services = 0

/** Processes opened in one test share a namespace that no other test uses. */
export const test = base.extend<{
  server: TestRedis
  service: string
  patience: Partial<RateLimitsOptions>
  open: (options?: Partial<RateLimitsOptions>, url?: string) => Promise<Process>
}>({
  server: [
    async ({}, use) => {
      await using server = await startRedis()
      await use(server)
    },
    { scope: 'file' },
  ],
  service: async ({}, use) => use(`service${++services}`),
  patience: async ({}, use) => use(patient),
  open: async ({ server, service, patience }, use) => {
    const opened: Process[] = []
    await use(async (options, url = server.url) => {
      const one = openLimits(url, service, { ...patience, ...options })
      opened.push(one)
      await one.redis.whenReady(5_000)
      return one
    })
    await Promise.all(opened.map((one) => one.close()))
  },
})
