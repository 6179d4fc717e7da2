import type { Redis } from 'ioredis'
import {
  onFreePort,
  renderTemplate,
  renderUsers,
  startRedisServer,
  type RedisGroupKind,
} from '@wattle/servers'
import { clientPool, type ClientOptions } from './clients.ts'
import { testCredentials } from './credentials.ts'
import { controlled, type TestServer } from './test-server.ts'
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
  /** Evicting and unsaved (`cache`, the default), or keeping everything (`state`). */
  group?: RedisGroupKind
  /** Default `256mb`. */
  maxMemory?: string
}

export interface TestRedis extends TestServer {
  /** Everything is allowed to whoever uses this URL. */
  readonly url: string
  /** The URL of one service's user; needs `acl`. */
  urlFor(service: string): string
  /** A plain ioredis client, closed with the server. */
  client(options?: ClientOptions): Redis
  [Symbol.asyncDispose](): Promise<void>
}

const host = '127.0.0.1'

/** The users file of a server without access control. */
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
  const first = await onFreePort(start)
  const { port } = first
  const server = await controlled(() => start(port), first)
  const clients = clientPool({
    host,
    port,
    ...(acl ? { username: 'admin', password: credentials.admin } : {}),
  })
  const { stop: stopServer } = server
  const stop = async () => {
    clients.closeAll()
    await stopServer()
    scratch.remove()
  }
  return Object.assign(server, {
    url: acl ? `redis://admin:${credentials.admin}@${host}:${port}` : `redis://${host}:${port}`,
    urlFor(service: string) {
      const password = credentials.services[service]
      if (!acl || password === undefined) throw new Error(`there is no user for ${service}`)
      return `redis://${service}:${password}@${host}:${port}`
    },
    client: clients.open,
    stop,
    [Symbol.asyncDispose]: stop,
  })
}
