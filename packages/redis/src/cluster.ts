import { Cluster, type ClusterOptions, type Redis } from 'ioredis'
import { formatAddress, sameAddress, type Address } from './address.ts'
import type { Backend, BackendOptions } from './backend.ts'
import { createClient, identity, type Client } from './client.ts'
import { withoutArguments } from './errors.ts'
import type { Route } from './link.ts'
import { baseOptions, reconnectDelayMs, timing } from './settings.ts'
import { readTlsOptions } from './tls.ts'
import { clusterTopology } from './topology.ts'
import type { ClusterConfig } from './url.ts'

/** A Redis Cluster. Which node serves a key is ioredis' affair; staying connected is seen to here. */
export function createClusterBackend(
  config: ClusterConfig,
  { name, state, random, mapAddress, ...timeouts }: BackendOptions,
): Backend {
  const { user, password } = config
  const tls = config.tls && readTlsOptions(config.tls)
  const clusters = new Set<Cluster>()
  const subscribers = new Set<Client>()
  let closed = false
  let lastError: Error | undefined

  function open(purpose: string, extraMs = 0): Cluster {
    const options = {
      redisOptions: {
        ...baseOptions,
        ...identity({ user, password }),
        ...(tls ? { tls } : {}),
        connectionName: `${name}:${purpose}`,
        commandTimeout: timeouts.commandTimeoutMs + extraMs,
        socketTimeout: timeouts.socketTimeoutMs + extraMs,
        reconnectOnError: (error) => {
          withoutArguments(error)
          return false
        },
      },
      enableOfflineQueue: false,
      // A replica would answer with what an invalidation has already removed from its master.
      scaleReads: 'master' as const,
      // A call cut off in the middle may have been executed: it is not sent again.
      retryDelayOnFailover: 0,
      slotsRefreshTimeout: timing.handshakeTimeoutMs,
      slotsRefreshInterval: 5000,
      clusterRetryStrategy: (attempt) => reconnectDelayMs(attempt, random),
      // Certificates carry names: leave them as they are.
      ...(tls ? { dnsLookup: (host, found) => found(null, host) } : {}),
      ...(mapAddress ? { natMap: (key) => mapAddress(parseAddress(key)) } : {}),
    } satisfies ClusterOptions
    const cluster = new Cluster([...config.nodes], options)
    clusters.add(cluster)
    // Pipelines would wait for the first connection, however long that takes.
    cluster.delayUntilReady = (callback) => {
      process.nextTick(callback, new Error("Cluster isn't ready"))
    }
    for (const event of ['error', 'node error']) {
      cluster.on(event, (error: Error) => {
        lastError = withoutArguments(error)
      })
    }
    // ioredis connects to a node at its first call, and refuses those that come before that is done.
    cluster.on('+node', (node: Redis) => {
      withAskingHandled(node)
      if (!node.options.readOnly) node.connect().catch(() => {})
    })
    cluster.on('end', () => setTimeout(() => reconnect(cluster), reconnectDelayMs(1, random)))
    return cluster
  }

  function reconnect(cluster: Cluster): void {
    if (!closed) cluster.connect().catch(() => {})
  }

  const commands = open('commands')
  commands.on('ready', () => void announce())

  async function announce(): Promise<void> {
    await Promise.all(commands.nodes('master').map(settled))
    if (commands.status !== 'ready') return
    lastError = undefined
    state.ready(config.nodes.map(formatAddress).join(', '))
  }
  commands.on('close', () => state.down(lastError))

  const known = (): Address[] =>
    commands.nodes().flatMap(({ options: { host, port } }) => (host && port ? { host, port } : []))

  /** Every node passes on what is published at any other: one connection to some node will do. */
  const anyNode: Route = {
    next() {
      const nodes = known().length > 0 ? known() : config.nodes
      const chosen = nodes[Math.floor(random() * nodes.length)]
      return chosen ? Promise.resolve({ ...chosen }) : Promise.reject(new Error('no node is known'))
    },
  }

  /** Left in the middle of disconnecting, as ioredis does when its last node goes at the wrong moment. */
  const stuck = new Map<Cluster, number>()
  function revive(cluster: Cluster): void {
    const idle = cluster.status === 'disconnecting' || cluster.status === 'close'
    const beats = idle ? (stuck.get(cluster) ?? 0) + 1 : 0
    stuck.set(cluster, beats)
    if (beats >= 3) reconnect(cluster)
  }

  return {
    client: commands,
    openSubscriber() {
      const client = createClient({
        ...timeouts,
        user,
        password,
        tls,
        connectionName: `${name}:subscriber`,
        route: anyNode,
        masterOnly: false,
        random,
      })
      subscribers.add(client)
      return client
    },
    openBlocking: (maxBlockMs) => open('blocking', maxBlockMs),
    masters: () => commands.nodes('master'),
    beat() {
      for (const cluster of clusters) revive(cluster)
      if (commands.status !== 'ready') return
      for (const node of commands.nodes('master')) node.ping().catch(() => {})
      for (const { link } of subscribers) {
        const { address } = link
        if (address && !known().some((node) => sameAddress(node, address))) {
          link.sever('the node left the cluster')
        }
      }
    },
    topology: () => clusterTopology(commands),
    close() {
      closed = true
      for (const cluster of clusters) cluster.disconnect()
      for (const subscriber of subscribers) subscriber.close()
    },
  }
}

/** ioredis sends ASKING before a command that was redirected and lets its failure go unhandled, which ends the process. */
function withAskingHandled(node: Redis): void {
  const asking = node.asking.bind(node)
  node.asking = () => {
    const asked = asking()
    asked.catch(() => {})
    return asked
  }
}

/** Resolves when the node is connected, or was tried in vain. */
function settled(node: Redis): Promise<void> {
  if (node.status === 'ready') return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      for (const event of ['ready', 'close', 'end']) node.off(event, done)
      resolve()
    }
    const timer = setTimeout(done, timing.handshakeTimeoutMs)
    for (const event of ['ready', 'close', 'end']) node.on(event, done)
  })
}

function parseAddress(key: string): Address {
  const colon = key.lastIndexOf(':')
  return { host: key.slice(0, colon), port: Number(key.slice(colon + 1)) }
}
