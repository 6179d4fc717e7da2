import { defineScript, type KeySpace, type RedisConnection } from '@wattle/redis'
import type { createCircuit } from './circuit.ts'
import type { Statistics } from './statistics.ts'

const leaseScript = defineScript(new URL('./lease.lua', import.meta.url))
const fillScript = defineScript(new URL('./fill.lua', import.meta.url))
const invalidateScript = defineScript(new URL('./invalidate.lua', import.meta.url))

const replayEveryMs = 250
const mostDeferred = 10_000

export type Log = {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** `applied`: a master executed it. `deferred`: Redis could not be reached; it is kept and replayed. */
export type InvalidationResult = 'applied' | 'deferred'

/**
 * The Redis tier of one namespace. Nothing here throws because of Redis: an operation that fails, or takes longer
 * than `deadlineMs`, returns undefined.
 *
 * Whether Redis may be believed: invalidations that could not be sent are kept, and until they have been replayed
 * `read` returns undefined, so the source answers. A connection that was lost may have come back to a master that
 * missed our last invalidations; so a reconnection itself defers a move of the namespace's generation, which makes
 * every older entry a miss.
 */
export function createTier({
  redis,
  keys,
  log,
  now,
  uniqueToken,
  deadlineMs,
  statistics,
  circuit,
}: {
  redis: RedisConnection
  keys: KeySpace
  log: Log
  now: () => number
  uniqueToken: () => string
  deadlineMs: number
  statistics: Statistics
  circuit: ReturnType<typeof createCircuit>
}) {
  const namespaceGeneration = keys.key('generation', 'all')
  let deferred = nothing()
  let replaying = false
  const trusted = () => !replaying && deferred.entries.size + deferred.generations.size === 0
  let timer: NodeJS.Timeout | undefined
  let closed = false

  async function attempt<T>(operation: string, send: () => Promise<T>): Promise<T | undefined> {
    if (redis.state !== 'ready' || !circuit.tryEnter()) return undefined
    const started = now()
    try {
      const result = await within(deadlineMs, send())
      circuit.succeeded()
      statistics.operation(operation, now() - started)
      return result
    } catch (cause) {
      const before = circuit.state()
      circuit.failed()
      if (before === 'closed' && circuit.state() === 'open') {
        log.warn({ err: cause, operation }, 'the cache is bypassed: Redis fails or is too slow')
      }
      return undefined
    }
  }

  const send = (entries: readonly string[], generations: readonly string[]) =>
    attempt('invalidate', () =>
      redis.run(invalidateScript, {
        keys: [...entries.flatMap((key) => [key, leaseOf(key)]), ...generations],
        args: [String(entries.length * 2), uniqueToken()],
      }),
    )

  function defer(entries: readonly string[], generations: readonly string[]): void {
    for (const key of entries) deferred.entries.add(key)
    for (const key of generations) deferred.generations.add(key)
    if (deferred.entries.size + deferred.generations.size > mostDeferred) {
      deferred.entries.clear()
      deferred.generations.clear()
      deferred.generations.add(namespaceGeneration)
    }
    if (!timer && !closed) {
      timer = setInterval(() => void replay(), replayEveryMs)
      timer.unref()
    }
  }

  /** Sends what is kept. What is deferred while it is under way belongs to a later write, and is sent again. */
  async function replay(): Promise<void> {
    if (replaying || trusted()) return
    const batch = deferred
    deferred = nothing()
    replaying = true
    const done = await send([...batch.entries], [...batch.generations])
    replaying = false
    if (done === undefined) defer([...batch.entries], [...batch.generations])
    if (!trusted()) return
    clearInterval(timer)
    timer = undefined
    const { entries, generations } = batch
    log.info({ entries: entries.size, generations: generations.size }, 'the cache is in use again')
  }

  let wasReady = redis.state === 'ready'
  const stopListening = redis.onState((state) => {
    if (state !== 'ready') return
    if (wasReady) defer([], [namespaceGeneration])
    wasReady = true
    void replay()
  })

  return {
    namespaceGeneration,
    /** The raw entry (null where there is none) and the present generations; undefined when Redis cannot be used. */
    async read(entry: string, generations: readonly string[]) {
      if (!trusted()) return undefined
      const found = await attempt('read', () => redis.client.mget(entry, ...generations))
      if (!found || !trusted()) return undefined
      return { raw: found[0] ?? null, generations: found.slice(1).map((token) => token ?? '') }
    },
    /** The token of the lease, or undefined when another flight has it or Redis cannot be used. */
    async lease(entry: string, lifetimeMs: number): Promise<string | undefined> {
      const token = uniqueToken()
      const taken = await attempt('lease', () =>
        redis.run(leaseScript, { keys: [leaseOf(entry)], args: [token, String(lifetimeMs)] }),
      )
      return taken === 1 ? token : undefined
    },
    /** Whether the value was stored; undefined when Redis cannot be used. */
    async fill(entry: string, token: string, encoded: string, ttlMs: number) {
      const stored = await attempt('fill', () =>
        redis.run(fillScript, {
          keys: [entry, leaseOf(entry)],
          args: [token, encoded, String(ttlMs)],
        }),
      )
      return stored === undefined ? undefined : stored === 1
    },
    async invalidate(
      entries: readonly string[],
      generations: readonly string[],
    ): Promise<InvalidationResult> {
      if (entries.length + generations.length === 0) return 'applied'
      if ((await send(entries, generations)) !== undefined) return 'applied'
      defer(entries, generations)
      return 'deferred'
    },
    close(): void {
      closed = true
      clearInterval(timer)
      stopListening()
    },
  }
}

export type Tier = ReturnType<typeof createTier>

const nothing = () => ({ entries: new Set<string>(), generations: new Set<string>() })

/** No part of a key is ever written as `~lease`, so this is nobody's entry. */
const leaseOf = (entry: string) => `${entry}:~lease`

async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
