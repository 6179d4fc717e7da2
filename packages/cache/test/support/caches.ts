import { connectRedis, keySpace, type ConnectOptions, type RedisConnection } from '@wattle/redis'
import { eventually } from '@wattle/testkit'
import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import {
  createCache,
  type Cache,
  type CacheOptions,
  type ReadOutcome,
  type Ref,
} from '../../src/index.ts'

/** A log that keeps its lines, with their fields. */
export function recordingLog() {
  const lines: string[] = []
  const at = (level: string) => (fields: object, message: string) => {
    const { err } = fields as { err?: unknown }
    const cause = err instanceof Error ? { err: err.message } : {}
    lines.push(`${level} ${message} ${JSON.stringify({ ...fields, ...cause })}`)
  }
  return { lines, info: at('info'), warn: at('warn'), error: at('error') }
}

export type Opened = AsyncDisposable & {
  readonly cache: Cache
  readonly redis: RedisConnection
  readonly log: ReturnType<typeof recordingLog>
  close(): Promise<void>
}

export type OpenOptions = Partial<Omit<CacheOptions, 'redis' | 'keys' | 'log'>> & {
  url: string
  service: string
  /** Another way to the same Redis, for the subscriber alone. */
  subscriberUrl?: string
  connect?: Partial<ConnectOptions>
}

/** A cache as one process has it. Resolves at once, whether Redis can be reached or not. */
export function openCache({
  url,
  service,
  subscriberUrl,
  connect = {},
  ...options
}: OpenOptions): Opened {
  const log = recordingLog()
  const redis = connectRedis({ url, name: service, log, ...connect })
  const other = subscriberUrl
    ? connectRedis({ url: subscriberUrl, name: `${service}-other` })
    : undefined
  const keys = keySpace({ environment: 'test', service, personalSecret: 'x'.repeat(32) })
  const cache = createCache({
    redis: other ? withSubscriberOf(redis, other) : redis,
    keys,
    log,
    ...options,
  })
  const close = async () => {
    cache.close()
    await Promise.all([redis.close(), other?.close()])
  }
  return { cache, redis, log, close, [Symbol.asyncDispose]: close }
}

/** The same, and it is synchronized. */
export async function openSynchronized(options: OpenOptions): Promise<Opened> {
  const opened = openCache(options)
  await synchronized(opened)
  return opened
}

export const synchronized = ({ cache }: Pick<Opened, 'cache'>, withinMs = 10_000) =>
  eventually(() => expect(cache.synchronized).toBe(true), { everyMs: 2, withinMs })

const withSubscriberOf = (redis: RedisConnection, other: RedisConnection): RedisConnection =>
  Object.create(redis, { subscriber: { value: () => other.subscriber() } }) as RedisConnection

/** Invalidates until a master has executed it: on a busy machine the first attempt may take too long. */
export const applied = ({ cache }: Pick<Opened, 'cache'>, refs: readonly Ref[]): Promise<string> =>
  eventually(async () => {
    const { outcome, token } = await cache.invalidate(refs)
    expect(outcome).toBe('applied')
    return token
  })

/** Reads until the value comes from Redis, and so is there. */
export const inL2 = (read: () => Promise<ReadOutcome<unknown>>) =>
  eventually(async () => expect(await read()).toMatchObject({ status: 'hit', tier: 'l2' }))

/** Reads until the value comes from L1. What a load brings is called so too while it is being stored, but has no age. */
export const inL1 = (read: () => Promise<ReadOutcome<unknown>>) =>
  eventually(async () => {
    const { tier, ageMs } = await read()
    expect([tier, ageMs > 0]).toEqual(['l1', true])
  })

/** Reads until some tier has the value. */
export const isCached = (read: () => Promise<ReadOutcome<unknown>>) =>
  eventually(async () => expect(await read()).toMatchObject({ status: 'hit' }))

/** As if the entry had been stored that much earlier. */
export async function grow(raw: Redis, key: string, ms: number) {
  const storedAt = Number(await raw.getrange(key, 34, 46))
  await raw.setrange(key, 34, String(storedAt - ms))
}

/** How often a server has executed a command. */
export async function callsOf(raw: Redis, command: string): Promise<number> {
  const text = await raw.info('commandstats')
  return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(text)?.[1] ?? 0)
}

/** A source of words whose reads are counted. */
export function source(initial = 'old') {
  const handle = {
    word: initial,
    reads: 0,
    load: (_id: string): Promise<string> => {
      handle.reads++
      return Promise.resolve(handle.word)
    },
  }
  return handle
}
