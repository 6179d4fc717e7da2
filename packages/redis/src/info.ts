import type { Address } from './address.ts'

export interface ReplicaInfo extends Address {
  online: boolean
  /** How far it is behind the master. */
  lagBytes: number
  /** Since it last reported. */
  lagSeconds: number
}

/** What INFO says. A section that was not asked for, or that the server does not have, is absent. */
export interface RedisInfo {
  server?: { version: string; runId: string; mode: string; uptimeSeconds: number }
  clients?: { connected: number; blocked: number }
  memory?: {
    usedBytes: number
    peakBytes: number
    residentBytes: number
    /** 0: no limit. */
    maxBytes: number
    maxPolicy: string
    fragmentationRatio: number
  }
  stats?: {
    commandsProcessed: number
    operationsPerSecond: number
    keyspaceHits: number
    keyspaceMisses: number
    expiredKeys: number
    evictedKeys: number
    connectionsReceived: number
    connectionsRejected: number
    receivedBytes: number
    sentBytes: number
  }
  replication?: {
    role: 'master' | 'replica'
    /** Identity of the history this server holds. */
    replicationId: string
    offset: number
    replicas: ReplicaInfo[]
    /** Of a replica only. */
    master?: Address & { linkUp: boolean }
  }
  /** Database number → its size. */
  keyspace?: Record<number, { keys: number; expires: number; averageTtlMs: number }>
  /** Everything as it came: section → field → text. */
  sections: Record<string, Record<string, string>>
}

/** Reads the reply of INFO, whole or of some sections. */
export function parseInfo(text: string): RedisInfo {
  const sections: RedisInfo['sections'] = {}
  let fields: Record<string, string> = (sections[''] = {})
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) {
      fields = sections[line.slice(1).trim().toLowerCase()] = {}
      continue
    }
    const colon = line.indexOf(':')
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1)
  }
  if (Object.keys(sections[''] ?? {}).length === 0) delete sections['']

  const { server, clients, memory, stats, replication, keyspace } = sections
  return {
    ...(server && {
      server: {
        version: server['redis_version'] ?? '',
        runId: server['run_id'] ?? '',
        mode: server['redis_mode'] ?? '',
        uptimeSeconds: number(server['uptime_in_seconds']),
      },
    }),
    ...(clients && {
      clients: {
        connected: number(clients['connected_clients']),
        blocked: number(clients['blocked_clients']),
      },
    }),
    ...(memory && {
      memory: {
        usedBytes: number(memory['used_memory']),
        peakBytes: number(memory['used_memory_peak']),
        residentBytes: number(memory['used_memory_rss']),
        maxBytes: number(memory['maxmemory']),
        maxPolicy: memory['maxmemory_policy'] ?? '',
        fragmentationRatio: number(memory['mem_fragmentation_ratio']),
      },
    }),
    ...(stats && {
      stats: {
        commandsProcessed: number(stats['total_commands_processed']),
        operationsPerSecond: number(stats['instantaneous_ops_per_sec']),
        keyspaceHits: number(stats['keyspace_hits']),
        keyspaceMisses: number(stats['keyspace_misses']),
        expiredKeys: number(stats['expired_keys']),
        evictedKeys: number(stats['evicted_keys']),
        connectionsReceived: number(stats['total_connections_received']),
        connectionsRejected: number(stats['rejected_connections']),
        receivedBytes: number(stats['total_net_input_bytes']),
        sentBytes: number(stats['total_net_output_bytes']),
      },
    }),
    ...(replication && { replication: readReplication(replication) }),
    ...(keyspace && { keyspace: readKeyspace(keyspace) }),
    sections,
  }
}

function readReplication(fields: Record<string, string>): NonNullable<RedisInfo['replication']> {
  const isReplica = fields['role'] === 'slave'
  const offset = number(fields[isReplica ? 'slave_repl_offset' : 'master_repl_offset'])
  return {
    role: isReplica ? 'replica' : 'master',
    replicationId: fields['master_replid'] ?? '',
    offset,
    replicas: Object.entries(fields)
      .filter(([name]) => /^slave\d+$/.test(name))
      .map(([, value]) => readPairs(value))
      .map(({ ip = '', port, state, offset: reached, lag }) => ({
        host: ip,
        port: number(port),
        online: state === 'online',
        lagBytes: Math.max(0, offset - number(reached)),
        lagSeconds: number(lag),
      })),
    ...(isReplica && {
      master: {
        host: fields['master_host'] ?? '',
        port: number(fields['master_port']),
        linkUp: fields['master_link_status'] === 'up',
      },
    }),
  }
}

function readKeyspace(fields: Record<string, string>): NonNullable<RedisInfo['keyspace']> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      const { keys, expires, avg_ttl: averageTtl } = readPairs(value)
      const size = {
        keys: number(keys),
        expires: number(expires),
        averageTtlMs: number(averageTtl),
      }
      return [Number(name.replace(/^db/, '')), size]
    }),
  )
}

/** `a=1,b=2` */
function readPairs(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((pair) => pair.split('=', 2)))
}

const number = (text: string | undefined) => Number(text ?? 0) || 0
