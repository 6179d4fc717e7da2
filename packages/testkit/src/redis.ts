import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import {
  onFreePort,
  renderTemplate,
  renderUsers,
  startRedisServer,
  type RedisCredentials,
  type RedisGroupKind,
} from '@wattle/servers'
import { clientPool, type ClientOptions } from './clients.ts'
import { redisProgram, scratchDirectory } from './workspace.ts'

export interface StartTestRedisOptions {
  /**
   * With the access control of production: no anonymous access, one user per service. Without it
   * (default) everybody may do everything.
   */
  acl?: boolean
  /** Services that get a user when `acl` is on. Default user, billing, gateway. */
  services?: readonly string[]
  /** First part of every key. Default `test`. */
  environment?: string
  /** Evicting and unsaved (default), or keeping everything. */
  group?: RedisGroupKind
  /** Default `256mb`. */
  maxMemory?: string
}

export interface TestRedis {
  readonly host: string
  readonly port: number
  readonly pid: number
  /** Everything is allowed to whoever uses this URL. */
  readonly url: string
  /** The URL of one service's user; needs `acl`. */
  urlFor(service: string): string
  /** A plain ioredis client, closed with the server. */
  client(options?: ClientOptions): Redis
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port; `cache` comes back empty. */
  restart(): Promise<void>
  /** It hangs: connections stay open, nothing answers. */
  freeze(): void
  thaw(): void
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const host = '127.0.0.1'
export const everybody = 'user default on nopass allkeys allchannels +@all\n'

/** Starts one real Redis with the settings of production, for this test file alone. */
export async function startRedis(options: StartTestRedisOptions = {}): Promise<TestRedis> {
  const { acl = false, group = 'cache', environment = 'test', maxMemory = '256mb' } = options
  const program = await redisProgram()
  const scratch = scratchDirectory()
  const credentials = testCredentials(options.services)
  const users = acl ? renderUsers({ group, environment, credentials }) : everybody
  const start = (port: number) =>
    startRedisServer({
      program,
      directory: scratch.path,
      port,
      dieWithParent: true,
      files: { 'users.acl': users },
      config: renderTemplate(['node.conf', `${group}.conf`], {
        BIND: host,
        PORT: port,
        ANNOUNCE_HOST: host,
        DATA_DIRECTORY: scratch.path,
        ACL_FILE: `${scratch.path}/users.acl`,
        REPLICATION_PASSWORD: credentials.replication,
        MIN_REPLICAS_TO_WRITE: 0,
        MAX_MEMORY: maxMemory,
      }),
    })
  let server = await onFreePort(start)
  const { port } = server
  const admin = acl ? { username: 'admin', password: credentials.admin } : {}
  const clients = clientPool({ host, port, ...admin })
  const stop = async () => {
    clients.closeAll()
    await server.stop()
    scratch.remove()
  }
  return {
    host,
    port,
    get pid() {
      return server.pid
    },
    url: acl ? `redis://admin:${credentials.admin}@${host}:${port}` : `redis://${host}:${port}`,
    urlFor(service) {
      const password = credentials.services[service]
      if (!acl || password === undefined) throw new Error(`there is no user for ${service}`)
      return `redis://${service}:${password}@${host}:${port}`
    },
    client: clients.open,
    async kill() {
      server.kill('SIGKILL')
      await server.exited
    },
    async restart() {
      await server.stop()
      server = await start(port)
    },
    freeze: () => void server.kill('SIGSTOP'),
    thaw: () => void server.kill('SIGCONT'),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** Fresh passwords for every account. */
export function testCredentials(
  services: readonly string[] = ['user', 'billing', 'gateway'],
): RedisCredentials {
  const password = () => randomBytes(12).toString('hex')
  return {
    replication: password(),
    sentinel: password(),
    discovery: password(),
    admin: password(),
    services: Object.fromEntries(services.map((service) => [service, password()])),
  }
}
