import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  renderSentinelUsers,
  renderUsers,
  type RedisCredentials,
  type RedisGroupKind,
  type SharedGrant,
} from './acl.ts'
import type { RedisServerProgram } from './find-redis.ts'
import { stopRecorded } from './process-record.ts'
import { createNode, type RedisNode } from './redis-node.ts'
import { redisInfo, type RedisAddress } from './redis-query.ts'
import { startRedisServer } from './redis-server.ts'
import { awaitRole, isSame, type ReplicaOf } from './roles.ts'
import { renderSentinelConfig, type SentinelSelf } from './sentinel-config.ts'
import { newestMaster, readSentinelState, type SavedSentinel } from './sentinel-state.ts'
import { renderTemplate } from './template.ts'
import { askMaster, untilReady } from './topology-state.ts'

export interface TopologyOptions {
  program: RedisServerProgram
  /** Each server gets a folder of its own in it, which is its memory across starts. */
  directory: string
  /** First part of every key. */
  environment: string
  credentials: RedisCredentials
  /** Groups by name; the first port belongs to the master of a group that never ran. */
  groups: readonly GroupOptions[]
  sentinelPorts: readonly number[]
  /** Default 2000. */
  downAfterMs?: number
  /** Default 6000. */
  failoverTimeoutMs?: number
  /** Default: the table `infra/redis/shared-grants.json`. */
  grants?: readonly SharedGrant[]
  /** When true nothing survives this process, not even its kill -9. Default false. */
  dieWithParent?: boolean
  log?: (line: string) => void
}

export interface GroupOptions {
  name: RedisGroupKind
  ports: readonly number[]
  /** As Redis writes it, e.g. `256mb`. */
  maxMemory: string
}

export interface RedisTopology {
  /** The nodes of all groups, then the Sentinels. */
  readonly servers: readonly RedisNode[]
  nodes(group: RedisGroupKind): readonly RedisNode[]
  readonly sentinels: readonly RedisNode[]
  /** The node that the Sentinels take for the master now. */
  master(group: RedisGroupKind): Promise<RedisNode>
  /** For a service's configuration. */
  url(group: RedisGroupKind, service: string): string
  /** Resolves when a failover of every group could succeed; throws after `withinMs`. */
  whenReady(withinMs?: number): Promise<void>
  /** Stops the Sentinels first, so that they see no failure in it. */
  stop(): Promise<void>
}

export const loopback = '127.0.0.1'

/**
 * Starts groups of Redis servers with the Sentinels that watch them, and resolves when a failover could
 * succeed. Servers left by an earlier process of the same directory are stopped first. Who is master
 * is what the Sentinels last agreed on; only a topology that never ran takes the first of each group.
 */
export async function startRedisTopology(options: TopologyOptions): Promise<RedisTopology> {
  const { directory, groups, credentials, log = () => undefined } = options
  const sentinelFolders = options.sentinelPorts.map((_, index) => folder('sentinel', index))
  const saved = sentinelFolders.map((path) => readSentinelState(join(path, 'sentinel.conf')))
  const remembered = saved.filter((state) => state !== undefined)
  const admin = { username: 'admin', password: credentials.admin }

  function folder(group: string, index: number): string {
    return join(directory, `${group}-${index + 1}`)
  }
  const dataFolders = groups.flatMap(({ name, ports }) => ports.map((_, i) => folder(name, i)))
  if (await stopLeft([sentinelFolders, dataFolders])) log('Stopped Redis servers left running')

  const sentinels: SentinelSelf[] = options.sentinelPorts.map((port, index) => ({
    host: loopback,
    port,
    id: saved[index]?.id ?? randomBytes(20).toString('hex'),
  }))
  const watched = groups.map((group) => {
    const nodes = group.ports.map((port) => ({ host: loopback, port }))
    const folders = nodes.map((_, index) => folder(group.name, index))
    return { ...group, nodes, folders, master: initialMaster(group.name, nodes, folders, remembered) }
  })

  const dataNodes = watched.flatMap((group) =>
    group.nodes.map((address, index) =>
      createNode({
        name: `${group.name}-${index + 1}`,
        group: group.name,
        address,
        start: async (role: { replicaOf: ReplicaOf } | undefined) => {
          const replicaOf = role ? role.replicaOf : await currentRole(group, address)
          return startRedisServer({
            ...common(),
            directory: folder(group.name, index),
            port: address.port,
            config: nodeConfig(group, address, folder(group.name, index), replicaOf),
            files: { 'users.acl': renderUsers({ ...options, group: group.name }) },
          })
        },
      }),
    ),
  )

  function common() {
    return { program: options.program, dieWithParent: options.dieWithParent ?? false }
  }
  function nodeConfig(
    group: GroupOptions,
    address: RedisAddress,
    path: string,
    replicaOf: ReplicaOf,
  ): string {
    const config = renderTemplate(['node.conf', `${group.name}.conf`], {
      BIND: address.host,
      PORT: address.port,
      ANNOUNCE_HOST: address.host,
      DATA_DIRECTORY: path,
      ACL_FILE: join(path, 'users.acl'),
      REPLICATION_PASSWORD: credentials.replication,
      MIN_REPLICAS_TO_WRITE: group.ports.length > 1 ? 1 : 0,
      MAX_MEMORY: group.maxMemory,
    })
    return replicaOf ? `${config}replicaof ${replicaOf.host} ${replicaOf.port}\n` : config
  }
  function currentRole(group: (typeof watched)[number], self: RedisAddress): Promise<ReplicaOf> {
    const others = group.nodes.filter((node) => !isSame(node, self))
    return awaitRole(async () => {
      const states = sentinelFolders.map((path) => readSentinelState(join(path, 'sentinel.conf')))
      const [live, ...peers] = await Promise.all([
        askMaster(sentinels, admin, group.name),
        ...others.map(async (address) => {
          const info = await redisInfo(address, admin, 'replication').catch(() => undefined)
          const role = info?.['role'] === 'master' ? ('master' as const) : ('replica' as const)
          return info && { address, role }
        }),
      ])
      return {
        self,
        live,
        saved: newestMaster(states.map((state) => state?.groups[group.name])),
        peers: peers.filter((peer) => peer !== undefined),
        first: group.master,
      }
    }, failoverBoundMs)
  }
  const { downAfterMs = 2000, failoverTimeoutMs = 6000 } = options
  const failoverBoundMs = downAfterMs + 2 * failoverTimeoutMs

  const sentinelNodes = sentinels.map((self, index) =>
    createNode({
      name: `sentinel-${index + 1}`,
      group: 'sentinel',
      address: { host: self.host, port: self.port },
      start: (role) => {
        const path = folder('sentinel', index)
        const file = join(path, 'sentinel.conf')
        // Alone it comes back with what it wrote itself; with all others, with what all agreed on.
        const fresh = role !== undefined || !existsSync(file)
        const config = fresh ? sentinelConfig(self, path) : readFileSync(file, 'utf8')
        const files = { 'users.acl': renderSentinelUsers(credentials) }
        return startRedisServer({
          ...common(),
          directory: path,
          port: self.port,
          config,
          files,
          sentinel: true,
        })
      },
    }),
  )
  function sentinelConfig(self: SentinelSelf, path: string): string {
    return renderSentinelConfig({
      self,
      sentinels,
      groups: watched,
      saved: remembered,
      password: credentials.sentinel,
      directory: path,
      downAfterMs,
      failoverTimeoutMs,
    })
  }
  return undefined as never
}
