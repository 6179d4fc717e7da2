import type { Redis } from 'ioredis'
import {
  freePort,
  PortTakenError,
  startRedisTopology,
  type RedisCredentials,
  type RedisGroupKind,
  type RedisNode,
  type RedisTopology,
} from '@wattle/servers'
import { clientPool, type ClientOptions } from './clients.ts'
import { testCredentials } from './credentials.ts'
import { eventually } from './eventually.ts'
import { redisProgram, scratchDirectory } from './workspace.ts'

export interface StartTestSentinelGroupOptions {
  /** Default `cache`; also the name at the Sentinels. */
  group?: RedisGroupKind
  /** Services that get a user. Default user, billing, gateway. */
  services?: readonly string[]
  /** First part of every key. Default `test`. */
  environment?: string
  /** Default 2000, as in production. A busy machine gives false alarms with much less. */
  downAfterMs?: number
  /** Default `256mb`. */
  maxMemory?: string
}

export interface TestSentinelGroup {
  /** `redis+sentinel://…/<group>` as the user `admin`, who may do everything. */
  readonly url: string
  /** The same as a service's user. */
  urlFor(service: string): string
  readonly credentials: RedisCredentials
  readonly nodes: readonly RedisNode[]
  readonly sentinels: readonly RedisNode[]
  /** Who is master now, as the Sentinels say. */
  master(): Promise<RedisNode>
  replicas(): Promise<RedisNode[]>
  /** A plain client of one node, data or Sentinel, as `admin`; closed with the group. */
  client(node: RedisNode, options?: ClientOptions): Redis
  /** kill -9; resolves when the process is gone. */
  kill(node: RedisNode): Promise<void>
  /** It hangs: connections stay open, nothing answers. */
  freeze(node: RedisNode): void
  thaw(node: RedisNode): void
  /** Starts it again. Who was master comes back as a replica, once there is a new master. */
  restart(node: RedisNode): Promise<void>
  /** An operator's SENTINEL FAILOVER; resolves with the new master once it takes writes. */
  failover(): Promise<RedisNode>
  /**
   * Resolves when a failover could succeed (again). Sentinels need some 10 s to look at a node that
   * returned. Throws after `withinMs` (default 30 000).
   */
  whenReady(withinMs?: number): Promise<void>
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * A master, two replicas and three Sentinels with the settings and accounts of production; a failover
 * could succeed from the moment it resolves.
 */
export async function startSentinelGroup(
  options: StartTestSentinelGroupOptions = {},
): Promise<TestSentinelGroup> {
  const { group = 'cache' } = options
  const credentials = testCredentials(options.services)
  const { topology, remove } = await onFreePorts(options, credentials)
  const nodes = topology.nodes(group)
  const clients = clientPool({ username: 'admin', password: credentials.admin })
  const stop = async () => {
    clients.closeAll()
    await topology.stop()
    remove()
  }
  const master = () => topology.master(group)
  return {
    url: topology.url(group, 'admin'),
    urlFor: (service) => topology.url(group, service),
    credentials,
    nodes,
    sentinels: topology.sentinels,
    master,
    async replicas() {
      const current = await master()
      return nodes.filter((node) => node !== current)
    },
    client: ({ host, port }, more) => clients.open({ host, port, ...more }),
    async kill(node) {
      const gone = node.exited()
      node.kill('SIGKILL')
      await gone
    },
    freeze: (node) => void node.kill('SIGSTOP'),
    thaw: (node) => void node.kill('SIGCONT'),
    restart: (node) => node.start(),
    async failover() {
      const before = await master()
      const [sentinel] = topology.sentinels
      if (!sentinel) throw new Error('there is no Sentinel')
      await clients
        .open({ host: sentinel.host, port: sentinel.port })
        .call('SENTINEL', ['FAILOVER', group])
      return eventually(
        async () => {
          const next = await master()
          if (next === before) throw new Error('the master did not change')
          const link = clients.open({ host: next.host, port: next.port })
          const state = await link.info('replication').finally(() => link.disconnect())
          if (!/role:master\r[^]*connected_slaves:[1-9]/.test(state)) {
            throw new Error(`${next.name} takes no writes: ${state}`)
          }
          return next
        },
        { withinMs: 15_000 },
      )
    },
    whenReady: topology.whenReady,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** Somebody else may take a port between its choice and its use: then all are chosen anew. */
async function onFreePorts(
  options: StartTestSentinelGroupOptions,
  credentials: RedisCredentials,
): Promise<{ topology: RedisTopology; remove: () => void }> {
  const { group = 'cache', environment = 'test', maxMemory = '256mb', downAfterMs } = options
  const program = await redisProgram()
  for (let attempt = 1; ; attempt++) {
    const scratch = scratchDirectory()
    const [a, b, c, ...sentinelPorts] = await distinctPorts(6)
    try {
      const topology = await startRedisTopology({
        program,
        directory: scratch.path,
        environment,
        credentials,
        groups: [{ name: group, ports: [a, b, c].filter((port) => port !== undefined), maxMemory }],
        sentinelPorts,
        dieWithParent: true,
        ...(downAfterMs === undefined ? {} : { downAfterMs }),
      })
      return { topology, remove: scratch.remove }
    } catch (error) {
      scratch.remove()
      if (!(error instanceof PortTakenError) || attempt === 5) throw error
    }
  }
}

/** Ports that are free now, each only once. */
export async function distinctPorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) ports.add(await freePort())
  return [...ports]
}
