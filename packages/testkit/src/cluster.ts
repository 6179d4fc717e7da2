import { Cluster } from 'ioredis'
import {
  PortTakenError,
  renderTemplate,
  startRedisServer,
  type RedisProcess,
} from '@wattle/servers'
import { clientPool } from './clients.ts'
import { eventually } from './eventually.ts'
import { everybody } from './redis.ts'
import { distinctPorts } from './sentinel-group.ts'
import { controlled, type TestServer } from './test-server.ts'
import { redisProgram, scratchDirectory, type Scratch } from './workspace.ts'

export interface TestCluster {
  /** `redis+cluster://…`; everything is allowed to everybody. */
  readonly url: string
  /** Three masters with a third of the slots each. */
  readonly nodes: readonly TestServer[]
  /** A plain ioredis cluster client, closed with the cluster. */
  client(): Cluster
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const host = '127.0.0.1'
const slots = 16_384

/** Starts a Redis Cluster of three masters; every one of them knows who serves each slot when it resolves. */
export async function startCluster(): Promise<TestCluster> {
  const scratch = scratchDirectory()
  const nodes = await startNodes(scratch)
  const admin = clientPool({ host })
  const clients = new Set<Cluster>()
  const stop = async () => {
    for (const client of clients) client.disconnect()
    admin.closeAll()
    await Promise.all(nodes.map((node) => node.stop()))
    scratch.remove()
  }
  try {
    const links = nodes.map(({ port }) => admin.open({ port }))
    await Promise.all(
      links.map(async (link, index) => {
        const share = (part: number) => Math.floor((slots * part) / nodes.length)
        // Distinct from the start; nodes that all begin with zero need seconds to sort it out.
        await link.call('CLUSTER', ['SET-CONFIG-EPOCH', index + 1])
        await link.call('CLUSTER', ['ADDSLOTSRANGE', share(index), share(index + 1) - 1])
        // All of them, where one would do: hearing of the third by gossip takes seconds.
        for (const other of nodes.slice(0, index)) {
          await link.call('CLUSTER', ['MEET', host, other.port, other.busPort])
        }
      }),
    )
    await eventually(
      async () => {
        for (const link of links) {
          const known = String(await link.call('CLUSTER', ['INFO']))
          // The state is "ok" and a node "known" before anybody has said which slots it serves.
          const formed = ['state:ok', 'size:3', 'known_nodes:3', `slots_ok:${slots}`]
          if (!formed.every((line) => known.includes(`cluster_${line}\r`))) {
            throw new Error(`the cluster does not form: ${known}`)
          }
        }
      },
      { withinMs: 15_000 },
    )
  } catch (error) {
    await stop()
    throw error
  }
  return {
    url: `redis+cluster://${nodes.map(({ port }) => `${host}:${port}`).join(',')}`,
    nodes,
    client() {
      const roots = nodes.map(({ port }) => ({ host, port }))
      const client = new Cluster(roots)
      client.on('error', () => undefined)
      clients.add(client)
      return client
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

type ClusterNode = TestServer & { busPort: number }

async function startNodes(scratch: Scratch): Promise<ClusterNode[]> {
  for (let attempt = 1; ; attempt++) {
    const [a, b, c, ...busPorts] = await distinctPorts(6)
    const ports = [a, b, c].filter((port) => port !== undefined)
    const started = await Promise.allSettled(
      ports.map(async (port, index) => {
        const busPort = busPorts[index] ?? 0
        const start = () => startNode(`${scratch.path}/${port}`, port, busPort)
        return Object.assign(await controlled(start), { busPort })
      }),
    )
    const nodes = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const failed = started.find((one) => one.status === 'rejected')
    if (!failed) return nodes
    await Promise.all(nodes.map((node) => node.stop()))
    if (!(failed.reason instanceof PortTakenError) || attempt === 5) throw failed.reason
  }
}

async function startNode(directory: string, port: number, busPort: number): Promise<RedisProcess> {
  const config = renderTemplate(['node.conf', 'cache.conf'], {
    BIND: host,
    PORT: port,
    ANNOUNCE_HOST: host,
    DATA_DIRECTORY: directory,
    ACL_FILE: `${directory}/users.acl`,
    REPLICATION_PASSWORD: 'none',
    MIN_REPLICAS_TO_WRITE: 0,
    MAX_MEMORY: '256mb',
  })
  const cluster = [
    'cluster-enabled yes',
    `cluster-port ${busPort}`,
    'cluster-config-file nodes.conf',
    'cluster-node-timeout 2000',
    'cluster-require-full-coverage no',
  ]
  return startRedisServer({
    program: await redisProgram(),
    directory,
    port,
    dieWithParent: true,
    config: `${config}${cluster.join('\n')}\n`,
    files: { 'users.acl': everybody },
  })
}
