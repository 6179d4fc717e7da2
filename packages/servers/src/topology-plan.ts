import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RedisCredentials, RedisGroupKind, SharedGrant } from './acl.ts'
import type { RedisServerProgram } from './find-redis.ts'
import type { RedisAddress } from './redis-query.ts'
import { newestMaster, readSentinelState, type SavedSentinel } from './sentinel-state.ts'

export interface TopologyOptions {
  program: RedisServerProgram
  /** Each server gets a folder of its own in it, which is its memory across starts. */
  directory: string
  /** First part of every key. */
  environment: string
  credentials: RedisCredentials
  groups: readonly GroupOptions[]
  sentinelPorts: readonly number[]
  /** Silence after which a Sentinel takes a master for gone. Default 2000. */
  downAfterMs?: number
  /** Default 6000. */
  failoverTimeoutMs?: number
  /** Default: the table `infra/redis/shared-grants.json`. */
  grants?: readonly SharedGrant[]
  /** When true no server survives this process, not even its kill -9. Default false. */
  dieWithParent?: boolean
  log?: (line: string) => void
  /** Aborting ends a start that is under way. */
  signal?: AbortSignal
}

export interface GroupOptions {
  /** Its kind, and its name at the Sentinels. */
  name: RedisGroupKind
  /** The first belongs to the master of a group that never ran. */
  ports: readonly number[]
  /** As Redis writes it, e.g. `256mb`. */
  maxMemory: string
}

export interface PlannedServer extends RedisAddress {
  name: string
  directory: string
}

export interface PlannedGroup {
  name: RedisGroupKind
  maxMemory: string
  nodes: readonly PlannedServer[]
  /** Who is master when all start together. */
  master: PlannedServer
}

export interface PlannedSentinel extends PlannedServer {
  /** 40 hexadecimal digits; a Sentinel keeps it for life. */
  id: string
}

export interface TopologyPlan extends Required<
  Omit<TopologyOptions, 'groups' | 'grants' | 'signal'>
> {
  grants: readonly SharedGrant[] | undefined
  groups: readonly PlannedGroup[]
  sentinels: readonly PlannedSentinel[]
  /** What the Sentinels wrote down before they stopped. */
  saved: readonly SavedSentinel[]
}

export const loopback = '127.0.0.1'

/** Works out from the folders what a start of the whole topology has to do; changes nothing. */
export function planTopology(options: TopologyOptions): TopologyPlan {
  const server = (group: string, port: number, index: number): PlannedServer => {
    const name = `${group}-${index + 1}`
    return { name, host: loopback, port, directory: join(options.directory, name) }
  }
  const sentinels = options.sentinelPorts.map((port, index) => {
    const planned = server('sentinel', port, index)
    const id = savedState(planned)?.id ?? randomBytes(20).toString('hex')
    return { ...planned, id }
  })
  const saved = sentinels.map(savedState).filter((state) => state !== undefined)
  const groups = options.groups.map(({ name, ports, maxMemory }) => {
    const nodes = ports.map((port, index) => server(name, port, index))
    return { name, maxMemory, nodes, master: rememberedMaster(name, nodes, saved) }
  })
  return {
    downAfterMs: 2000,
    failoverTimeoutMs: 6000,
    dieWithParent: false,
    log: () => undefined,
    ...options,
    grants: options.grants,
    groups,
    sentinels,
    saved,
  }
}

/** What a Sentinel wrote into its configuration file, if it ever ran. */
export function savedState(sentinel: PlannedServer): SavedSentinel | undefined {
  return readSentinelState(join(sentinel.directory, 'sentinel.conf'))
}

/**
 * The node that the Sentinels' saved state names. Nodes are told by their folder: they may have got
 * other ports since. Without a saved state the first, as in a group that never ran.
 */
function rememberedMaster(
  group: string,
  nodes: readonly PlannedServer[],
  saved: readonly SavedSentinel[],
): PlannedServer {
  const [first] = nodes
  if (!first) throw new Error(`the group ${group} has no nodes`)
  const master = newestMaster(saved.map((state) => state.groups[group]))
  return nodes.find((node) => savedPort(node) === master?.port) ?? first
}

function savedPort(node: PlannedServer): number | undefined {
  try {
    const config = readFileSync(join(node.directory, 'redis.conf'), 'utf8')
    return Number(/^port (\d+)$/m.exec(config)?.[1])
  } catch {
    return undefined
  }
}
