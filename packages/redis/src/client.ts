import { Redis, type RedisOptions } from 'ioredis'
import type { ConnectionOptions } from 'node:tls'
import { isRefused, withoutArguments } from './errors.ts'
import { createLink, type Link, type Route } from './link.ts'
import { baseOptions, hurriedDelayMs, reconnectDelayMs, refusedDelayMs } from './settings.ts'
import { giveUpUnanswered } from './unanswered.ts'

export interface Credentials {
  user?: string | undefined
  password?: string | undefined
}

export interface ClientOptions extends Credentials {
  /** Shown in CLIENT LIST. */
  connectionName: string
  route: Route
  tls?: ConnectionOptions | undefined
  database?: number | undefined
  masterOnly: boolean
  commandTimeoutMs: number
  socketTimeoutMs: number
  random: () => number
  /** The server answered that it is no master, or not one that may be written to. */
  onDoubt?: (error: Error) => void
}

export interface Client {
  readonly redis: Redis
  readonly link: Link
  /** Why the client is not connected, as far as known. */
  lastError(): Error | undefined
  /** There is a new place to go: the next attempt comes almost at once. */
  hurry(): void
  close(): void
}

/** One ioredis client that never gives up until it is closed. */
export function createClient(options: ClientOptions): Client {
  const { connectionName, route, tls, user, password, masterOnly, random, onDoubt } = options
  const link = createLink({ route, tls, masterOnly })
  let lastError: Error | undefined
  let hurried = false
  let closed = false

  const redis = new Redis({
    ...baseOptions,
    ...identity({ user, password }),
    ...(tls ? { tls } : {}),
    ...(options.database ? { db: options.database } : {}),
    connectionName,
    Connector: link.Connector,
    retryStrategy: (attempt) => {
      if (hurried) {
        hurried = false
        return hurriedDelayMs(random)
      }
      return isRefused(lastError) ? refusedDelayMs(random) : reconnectDelayMs(attempt, random)
    },
    // Not by its return value: that half-closes the stream once for every call that fails.
    reconnectOnError: (error) => {
      withoutArguments(error)
      if (error.message.startsWith('READONLY')) link.sever('the server became a replica')
      else if (error.message.startsWith('NOREPLICAS')) onDoubt?.(error)
      return false
    },
  } satisfies RedisOptions)
  giveUpUnanswered(redis, options)
  const connect = () => {
    if (!closed) redis.connect().catch(() => {})
  }
  redis.on('error', (error: Error) => {
    lastError = withoutArguments(error)
  })
  redis.on('ready', () => {
    lastError = undefined
    hurried = false
  })
  // Ended without our doing, for instance by a QUIT.
  redis.on('end', () => setTimeout(connect, reconnectDelayMs(1, random)))

  return {
    redis,
    link,
    lastError: () => lastError,
    hurry() {
      if (redis.status === 'reconnecting') setTimeout(connect, hurriedDelayMs(random))
      else hurried = true
    },
    close() {
      closed = true
      redis.disconnect()
    },
  }
}

export function identity({ user, password }: Credentials): {
  username?: string
  password?: string
} {
  return { ...(user ? { username: user } : {}), ...(password ? { password } : {}) }
}
