import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { onFreePort, renderTemplate } from '@wattle/servers'
import { clientPool, type ClientOptions } from './clients.ts'
import {
  makeDatabase,
  type DatabaseHost,
  type StartTestDatabaseOptions,
  type TestDatabase,
} from './database.ts'
import { everybody } from './redis.ts'

/** Why containers cannot be used here; undefined when a Docker engine answers. */
export async function whyNoDocker(): Promise<string | undefined> {
  try {
    const { getContainerRuntimeClient } = await import('testcontainers')
    await getContainerRuntimeClient()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Whether a Docker engine answers. */
export async function dockerAvailable(): Promise<boolean> {
  return (await whyNoDocker()) === undefined
}

export interface ContainerOptions {
  /** Default `redis:7` and `postgres:15`. */
  image?: string
}

export interface TestRedisContainer {
  readonly host: string
  readonly port: number
  readonly url: string
  client(options?: ClientOptions): Redis
  kill(): Promise<void>
  restart(): Promise<void>
  freeze(): Promise<void>
  thaw(): Promise<void>
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * A single Redis in a container, with the same settings as `startRedis`. Testcontainers removes it when
 * this process ends, unless its reaper is turned off (TESTCONTAINERS_RYUK_DISABLED).
 */
export async function startRedisContainer({
  image = 'redis:7',
}: ContainerOptions = {}): Promise<TestRedisContainer> {
  const { GenericContainer, getContainerRuntimeClient, Wait } = await import('testcontainers')
  const settings = renderTemplate(['node.conf', 'cache.conf'], {
    BIND: '0.0.0.0',
    PORT: 6379,
    ANNOUNCE_HOST: '127.0.0.1',
    DATA_DIRECTORY: '/data',
    ACL_FILE: '/users.acl',
    REPLICATION_PASSWORD: 'none',
    MIN_REPLICAS_TO_WRITE: 0,
    MAX_MEMORY: '256mb',
  })
  // Published on loopback, but to Redis it looks like a stranger's connection.
  const config = `${settings}protected-mode no\n`
  const container = await onFreePort((port) =>
    new GenericContainer(image)
      .withExposedPorts({ container: 6379, host: port })
      .withCopyContentToContainer([
        { content: config, target: '/redis.conf', mode: 0o644 },
        { content: everybody, target: '/users.acl', mode: 0o644 },
      ])
      .withCommand(['redis-server', '/redis.conf'])
      .withWaitStrategy(Wait.forLogMessage('Ready to accept connections'))
      .start(),
  )
  const engine = await getContainerRuntimeClient()
  const handle = engine.container.getById(container.getId())
  const host = container.getHost()
  const port = container.getMappedPort(6379)
  const clients = clientPool({ host, port })
  const stop = async () => {
    clients.closeAll()
    await container.stop({ timeout: 0 })
  }
  return {
    host,
    port,
    url: `redis://${host}:${port}`,
    client: clients.open,
    async kill() {
      const gone = handle.wait()
      await handle.kill({ signal: 'SIGKILL' })
      await gone
    },
    restart: () => handle.restart({ t: 0 }),
    freeze: () => handle.pause(),
    thaw: () => handle.unpause(),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** The same as `startDatabase`, on a PostgreSQL in a container of its own. `drop` stops that, too. */
export async function startDatabaseContainer({
  image = 'postgres:15',
  ...options
}: ContainerOptions & StartTestDatabaseOptions = {}): Promise<TestDatabase> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const superuserPassword = randomBytes(12).toString('hex')
  const container = await new GenericContainer(image)
    .withEnvironment({ POSTGRES_PASSWORD: superuserPassword })
    .withExposedPorts(5432)
    // The first time is that of the server that only sets up the data.
    .withWaitStrategy(Wait.forLogMessage('database system is ready to accept connections', 2))
    .start()
  const address = `${container.getHost()}:${container.getMappedPort(5432)}`
  const server: DatabaseHost = {
    url: (database = 'postgres', user = 'postgres', password = superuserPassword) =>
      `postgresql://${user}:${encodeURIComponent(password)}@${address}/${database}`,
  }
  const database = await makeDatabase(server, options)
  const drop = async () => void (await container.stop({ timeout: 0 }))
  return { ...database, drop, [Symbol.asyncDispose]: drop }
}
