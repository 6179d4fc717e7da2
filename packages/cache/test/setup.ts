import { connectRedis, keySpace } from '@wattle/redis'
import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import { expect, test as base } from 'vitest'
import { createCache, type CacheOptions } from '../src/index.ts'

const log = { info() {}, warn() {}, error() {} }
let namespaces = 0

/** A cache as one process has it; caches opened in one test share a namespace that no other test uses. */
export const test = base.extend<{
  server: TestRedis
  open: (options?: Partial<CacheOptions>) => Promise<ReturnType<typeof openCache>>
  openAt: (url: string) => ReturnType<typeof openCache>
}>({
  server: [
    async ({}, use) => {
      await using server = await startRedis()
      await use(server)
    },
    { scope: 'file' },
  ],
  open: async ({ server }, use) => {
    const opened: ReturnType<typeof openCache>[] = []
    const service = `service${++namespaces}`
    await use(async (options) => {
      const one = openCache(server.url, service, options)
      opened.push(one)
      await eventually(() => expect(one.cache.synchronized).toBe(true), { everyMs: 2 })
      return one
    })
    await Promise.all(opened.map((one) => one.close()))
  },
  openAt: async ({}, use) => {
    const opened: ReturnType<typeof openCache>[] = []
    await use((url) => {
      const one = openCache(url, 'lonely')
      opened.push(one)
      return one
    })
    await Promise.all(opened.map((one) => one.close()))
  },
})

function openCache(url: string, service: string, options: Partial<CacheOptions> = {}) {
  const redis = connectRedis({ url, name: service })
  const raw = new Redis(url, { lazyConnect: true })
  raw.on('error', () => {})
  const registry = new Registry()
  const keys = keySpace({ environment: 'test', service, personalSecret: 'x'.repeat(32) })
  const cache = createCache({ redis, keys, registry, log, ...options })
  return {
    cache,
    raw,
    registry,
    redis,
    keys,
    async close() {
      cache.close()
      raw.disconnect()
      await redis.close()
    },
  }
}

/** A loader whose calls the test answers itself, one by one. */
export function held<T>() {
  type Call = { resolve(value: T): void; reject(reason: unknown): void }
  const waiting: Call[] = []
  const listeners: ((call: Call) => void)[] = []
  const handle = {
    calls: 0,
    call: (_id: string): Promise<T> => {
      handle.calls++
      const { promise, resolve, reject } = Promise.withResolvers<T>()
      const listener = listeners.shift()
      if (listener) listener({ resolve, reject })
      else waiting.push({ resolve, reject })
      return promise
    },
    /** The next call of the loader that has not been answered yet. */
    next: (): Promise<Call> => {
      const call = waiting.shift()
      return call ? Promise.resolve(call) : new Promise((done) => listeners.push(done))
    },
  }
  return handle
}
