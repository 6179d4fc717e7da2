import { performance } from 'node:perf_hooks'
import type { Redis } from 'ioredis'
import type { Address } from './address.ts'
import type { Backend, RedisClient } from './backend.ts'
import { callBuffer, type Argument } from './call.ts'
import { createClusterBackend } from './cluster.ts'
import { createDirectBackend } from './direct.ts'
import { parseInfo, type RedisInfo } from './info.ts'
import { silentLog, type Log } from './log.ts'
import { runScript, runScripts, type Script, type ScriptCall } from './script.ts'
import { timing } from './settings.ts'
import { createState, type RedisState, type StateListener } from './state.ts'
import { createSubscriber, type Subscriber } from './subscriber.ts'
import type { Topology } from './topology.ts'
import { parseRedisUrl, type RedisConfig } from './url.ts'

export interface ConnectOptions {
  /** See `parseRedisUrl`. This or `config`. */
  url?: string
  config?: RedisConfig
  /** Appears in logs and in CLIENT LIST; no spaces. */
  name: string
  log?: Log
  onStateChange?: StateListener
  /** After which a call without an answer rejects. Default 400; a dead stream is cut after three times this. */
  commandTimeoutMs?: number
  /** Turns an address that Sentinels or cluster nodes announce into one that can be reached from here. */
  mapAddress?: (address: Address) => Address
  /** For reconnection jitter. */
  random?: () => number
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
}

export interface RedisConnection extends AsyncDisposable {
  readonly name: string
  /** For commands. Reconnects by itself: never quit or disconnect it, close the connection instead. */
  readonly client: RedisClient
  readonly state: RedisState
  onState(listener: StateListener): () => void
  /** Resolves to whether it is ready, after `timeoutMs` at the latest. Never rejects. */
  whenReady(timeoutMs: number): Promise<boolean>
  /** The one connection for subscriptions, made at the first call. */
  subscriber(): Subscriber
  /** A new connection, for commands that wait in Redis (BLPOP, XREADGROUP BLOCK, WAIT): at most `maxBlockMs`. */
  blocking(options?: { maxBlockMs?: number }): RedisClient
  run(script: Script, call: ScriptCall): Promise<unknown>
  /** A command that is sent often, see call.ts. Its reply is as Redis gives it, words in Buffers. */
  callBuffer(command: string, args: readonly Argument[]): Promise<unknown>
  /** Many in one write; see `runScripts`. */
  runMany(
    calls: readonly (ScriptCall & { script: Script })[],
  ): Promise<PromiseSettledResult<unknown>[]>
  /** Milliseconds to the slowest master and back; rejects when one does not answer. */
  ping(timeoutMs?: number): Promise<number>
  /** INFO of each master: one, except in a cluster. */
  info(section?: string): Promise<RedisInfo[]>
  /** What is known of it: less while it is away. Never rejects. */
  topology(): Promise<Topology>
  /** Lets calls under way finish, for 400 ms at most, then closes. Afterwards every call rejects. Never rejects. */
  close(): Promise<void>
}

/**
 * A connection to a single Redis, a Sentinel group or a Redis Cluster, that is always on its way to `ready`.
 *
 * Returns at once and connects in the background, whether Redis is there or not. Throws only when the configuration
 * is wrong, in one sentence. Every call settles: within the command time-out while connected, at once while not.
 * A call that rejected may have been executed all the same, and is never sent twice; so writes must be idempotent.
 */
export function connectRedis(options: ConnectOptions): RedisConnection {
  const {
    url,
    name,
    log = silentLog,
    onStateChange,
    commandTimeoutMs = timing.commandTimeoutMs,
    mapAddress,
    random = Math.random,
    now = () => performance.now(),
  } = options
  const config = options.config ?? (url === undefined ? undefined : parseRedisUrl(url))
  if (!config) {
    throw new Error(`The Redis connection ${name} has neither a URL nor a configuration.`)
  }

  const state = createState({ name, log })
  if (onStateChange) state.onState(onStateChange)
  const socketTimeoutMs = 3 * commandTimeoutMs
  const shared = { name, log, state, commandTimeoutMs, socketTimeoutMs, random, now, mapAddress }
  const backend: Backend =
    config.mode === 'cluster'
      ? createClusterBackend(config, shared)
      : createDirectBackend(config, shared)
  const { client } = backend

  let subscriber: Subscriber | undefined
  let closing: Promise<void> | undefined
  const heartbeat = setInterval(() => {
    backend.beat()
    subscriber?.ping().catch(() => {})
  }, timing.heartbeatMs)
  heartbeat.unref()

  async function timed(call: () => Promise<unknown>): Promise<number> {
    const started = now()
    await call()
    return now() - started
  }

  async function ofEachMaster<T>(call: (master: Redis) => Promise<T>): Promise<T[]> {
    const masters = backend.masters()
    if (masters.length === 0) throw new Error('Connection is closed.')
    return Promise.all(masters.map(call))
  }

  function openSubscriber(): Subscriber {
    const connection = backend.openSubscriber()
    const ping = () => timed(() => connection.redis.ping())
    return createSubscriber({ client: connection, ping, name, log })
  }

  function whileOpen<T>(open: () => T): T {
    if (closing) throw new Error(`The Redis connection ${name} is closed.`)
    return open()
  }

  async function shutDown(): Promise<void> {
    clearInterval(heartbeat)
    const wasReady = client.status === 'ready'
    state.close()
    if (wasReady) {
      await within(timing.commandTimeoutMs, client.quit()).catch(() => {})
    }
    backend.close()
  }

  const connection: RedisConnection = {
    name,
    client,
    get state() {
      return state.current()
    },
    onState: state.onState,
    whenReady: state.whenReady,
    subscriber: () => {
      subscriber ??= whileOpen(openSubscriber)
      return subscriber
    },
    blocking: ({ maxBlockMs = 10_000 } = {}) => whileOpen(() => backend.openBlocking(maxBlockMs)),
    run: (script, call) => runScript(client, script, call),
    callBuffer: (command, args) => callBuffer(client, command, args),
    runMany: (calls) => runScripts(client, calls),
    ping: (timeoutMs = commandTimeoutMs) =>
      within(
        timeoutMs,
        timed(() => ofEachMaster((master) => master.ping())),
      ),
    info: (section) =>
      ofEachMaster(async (master) => {
        return parseInfo(await (section ? master.info(section) : master.info()))
      }),
    topology: () => backend.topology(),
    close: () => (closing ??= shutDown()),
    [Symbol.asyncDispose]: () => connection.close(),
  }
  return connection
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`Command timed out after ${timeoutMs} ms`)),
      timeoutMs,
    )
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
