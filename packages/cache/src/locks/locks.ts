import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { defineScript, type KeySpace, type RedisConnection } from '@wattle/redis'
import { durationMs, type Duration } from '../duration.ts'
import { partsOf, type Key } from '../kind-name.ts'
import { LockUnavailableError } from './errors.ts'
import { workWithin, type HeldWork } from './work-within.ts'

const acquireScript = defineScript(new URL('./acquire.lua', import.meta.url))
const extendScript = defineScript(new URL('./extend.lua', import.meta.url))
const releaseScript = defineScript(new URL('./release.lua', import.meta.url))

/**
 * Locks keep two processes from doing the same work twice, which is a matter of cost. They cannot keep a process that was
 * frozen from going on when it thaws, long after its time is over and another has the lock; no lock with a time limit can
 * (Kleppmann, How to do distributed locking, 2016). What can is the *fencing token*: it is greater for every later
 * holder, and what is written to takes it along and refuses a smaller one than it has seen:
 *
 *     update meter set reading = $1, fence = $2 where id = $3 and fence <= $2
 *
 * So a lock is for efficiency, its fencing token for safety.
 */
export type Locks = {
  /**
   * Takes the lock; undefined when another has it and has kept it for `wait`. Rejects with LockUnavailableError when Redis
   * cannot be asked.
   */
  acquire(key: Key, options: LockOptions): Promise<Lock | undefined>
  /**
   * Works while the lock is held: it is extended every third of its TTL, and released at the end. When it is lost,
   * `signal` is aborted with a LockLostError; the work should end then. Rejects with LockHeldError (not obtained),
   * LockUnavailableError, what `work` rejects with, or, when it ended well but the lock was lost before, LockLostError.
   */
  withLock<T>(key: Key, options: LockOptions, work: (held: HeldWork) => Promise<T>): Promise<T>
}

export type LockOptions = {
  /** How long the lock is held without being extended: how long others wait when its holder dies. */
  ttl: Duration
  /** How long to wait for it while another has it. Without it there is one attempt. */
  wait?: Duration
  /** Gives up waiting, and rejects with the signal's reason. */
  signal?: AbortSignal
}

/** A lock as its holder has it. */
export type Lock = {
  /** The fencing token: a safe integer, greater than that of every earlier holder. */
  readonly token: number
  /** Identifies this hold; only who knows it can extend or release. */
  readonly owner: string
  /** Until when it is surely held, on the clock `now` (`performance.now()`). */
  readonly heldUntilMs: number
  /** Begins its time anew. Whether it is still held; rejects with LockUnavailableError when Redis cannot be asked. */
  extend(ttl?: Duration): Promise<boolean>
  /** Frees it. Whether it was still held. Never rejects: where Redis is away the lock ends with its TTL. */
  release(): Promise<boolean>
}

export type LocksDependencies = {
  /** The `state` group: in `cache` a lock could be evicted. */
  redis: RedisConnection
  keys: KeySpace
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
  random?: () => number
}

/** Longer than any clock is set back, and any failover loses. */
const rememberedMs = 7 * 24 * 3_600_000
const shortestPollMs = 10
const longestPollMs = 250

/** Locks in one service's namespace. They write the keys `lock@1:<parts…>`. */
export function createLocks({
  redis,
  keys,
  now = () => performance.now(),
  random = Math.random,
}: LocksDependencies): Locks {
  async function ask(name: string, sent: Promise<unknown>): Promise<unknown> {
    try {
      return await sent
    } catch (cause) {
      throw new LockUnavailableError(
        `the lock ${name} cannot be had or judged, since Redis ${redis.name} does not serve: try again later`,
        { cause },
      )
    }
  }

  /** One attempt: the lock, or for how long at most another still has it. */
  async function attempt(name: string, owner: string, ttlMs: number): Promise<Lock | number> {
    const sentMs = now()
    const call = { keys: [name], args: [owner, ttlMs, rememberedMs] }
    const sent = redis.run(acquireScript, call).catch((cause: unknown) => {
      // It may have been taken all the same. Nobody shall have to wait for that.
      redis.run(releaseScript, { keys: [name], args: [owner] }).catch(() => {})
      throw cause
    })
    const [taken, value] = (await ask(name, sent)) as [number, string | number]
    return taken === 1 ? lockOf(name, owner, Number(value), ttlMs, sentMs + ttlMs) : Number(value)
  }

  function lockOf(
    name: string,
    owner: string,
    token: number,
    ttlMs: number,
    heldUntilMs: number,
  ): Lock {
    return {
      token,
      owner,
      get heldUntilMs() {
        return heldUntilMs
      },
      async extend(ttl) {
        const forMs = ttl === undefined ? ttlMs : durationMs(`ttl of lock ${name}`, ttl)
        const sentMs = now()
        const call = { keys: [name], args: [owner, forMs, rememberedMs] }
        const extended = (await ask(name, redis.run(extendScript, call))) === 1
        heldUntilMs = extended ? sentMs + forMs : -Infinity
        return extended
      },
      async release() {
        heldUntilMs = -Infinity
        const call = { keys: [name], args: [owner] }
        return (await redis.run(releaseScript, call).catch(() => 0)) === 1
      },
    }
  }

  const nameOf = (key: Key) => keys.key('lock', ...partsOf(key))

  async function acquire(name: string, options: LockOptions): Promise<Lock | undefined> {
    const ttlMs = durationMs(`ttl of lock ${name}`, options.ttl)
    const { signal } = options
    const waitMs = options.wait === undefined ? 0 : durationMs(`wait of lock ${name}`, options.wait)
    const owner = randomBytes(12).toString('base64url')
    const endsAtMs = now() + waitMs
    for (let pollMs = shortestPollMs; ; pollMs = Math.min(longestPollMs, pollMs * 2)) {
      signal?.throwIfAborted()
      const got = await attempt(name, owner, ttlMs)
      if (typeof got !== 'number') return got
      const leftMs = endsAtMs - now()
      if (leftMs <= 0) return undefined
      // Jitter, so that who waits together does not ask together. Not past the end of the present hold.
      const againInMs = Math.min(got + 1, pollMs * (0.5 + random()), leftMs)
      await wait(againInMs, undefined, signal ? { signal } : {}).catch(() => {})
    }
  }

  return {
    acquire: (key, options) => acquire(nameOf(key), options),
    withLock(key, options, work) {
      const name = nameOf(key)
      return workWithin({ acquire: () => acquire(name, options), name, options, work, now })
    },
  }
}
