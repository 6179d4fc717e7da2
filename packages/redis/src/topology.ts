import type { Cluster } from 'ioredis'
import type { Address } from './address.ts'
import { parseInfo, type ReplicaInfo } from './info.ts'
import type { SentinelView } from './sentinel-watch.ts'

/** A master with its replicas, as the master sees them, and the Sentinels' view, as they tell it. */
export interface GroupTopology {
  mode: 'single' | 'sentinel'
  /** Absent while it cannot be reached. */
  master?: Address & { replicationId: string; offset: number }
  replicas: ReplicaInfo[]
  sentinels: SentinelView[]
}

export interface ClusterNode extends Address {
  id: string
  role: 'master' | 'replica'
  /** Of a replica: the node it copies. */
  masterId?: string
  /** The other nodes reach it, and agree that it lives. */
  healthy: boolean
  /** How many of the 16,384 slots it serves. */
  slots: number
  /** Absent when it could not be asked, and of replicas. */
  keys?: number
}

export interface ClusterTopology {
  mode: 'cluster'
  /** Slots served by a healthy master; 16,384 when the cluster is whole. */
  slotsCovered: number
  nodes: ClusterNode[]
}

export type Topology = GroupTopology | ClusterTopology

export const slotCount = 16_384

export function groupTopology(
  mode: GroupTopology['mode'],
  address: Address | undefined,
  infoText: string | undefined,
  sentinels: SentinelView[],
): GroupTopology {
  const replication = infoText === undefined ? undefined : parseInfo(infoText).replication
  if (!address || !replication) return { mode, replicas: [], sentinels }
  const { replicationId, offset, replicas } = replication
  return { mode, master: { ...address, replicationId, offset }, replicas, sentinels }
}

export async function clusterTopology(cluster: Cluster): Promise<ClusterTopology> {
  const [text, ...sizes] = await Promise.all([
    cluster.cluster('NODES').then(String, () => ''),
    ...cluster.nodes('master').map(async (node) => {
      const keys = await node.dbsize().catch(() => undefined)
      return { host: node.options.host, port: node.options.port, keys }
    }),
  ])
  const nodes = parseClusterNodes(text).map((node): ClusterNode => {
    const keys = sizes.find(({ host, port }) => host === node.host && port === node.port)?.keys
    return keys === undefined ? node : { ...node, keys }
  })
  const covered = nodes.filter(({ role, healthy }) => role === 'master' && healthy)
  return {
    mode: 'cluster',
    slotsCovered: covered.reduce((sum, { slots }) => sum + slots, 0),
    nodes,
  }
}

/** Reads the reply of CLUSTER NODES. */
export function parseClusterNodes(text: string): ClusterNode[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [id = '', where = '', flagText = '', masterId = '-', , , , link, ...ranges] = line
        .trim()
        .split(' ')
      const [, host = '', port] = /^(.*):(\d+)(?:@|$)/.exec(where.split(',')[0] ?? '') ?? []
      const flags = flagText.split(',')
      return {
        id,
        host,
        port: Number(port),
        role: flags.includes('master') ? ('master' as const) : ('replica' as const),
        ...(masterId === '-' ? {} : { masterId }),
        healthy:
          (link === 'connected' || flags.includes('myself')) &&
          !flags.some((flag) => /^(fail\??|noaddr|handshake)$/.test(flag)),
        slots: ranges.reduce((sum, range) => sum + countSlots(range), 0),
      }
    })
}

function countSlots(range: string): number {
  const [, from, to] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? []
  return from === undefined ? 0 : Number(to ?? from) - Number(from) + 1
}
