import { startRedis, type TestRedis } from '@wattle/testkit'
import { test as base } from 'vitest'
import type { RateLimitsOptions } from '../../src/index.ts'
import { openLimits, patient, type Process } from './open.ts'

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
