import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { renderSentinelUsers, renderUsers } from './acl.ts'
import { startRedisServer, type RedisProcess } from './redis-server.ts'
import type { ReplicaOf } from './roles.ts'
import { renderSentinelConfig } from './sentinel-config.ts'
import { renderTemplate } from './template.ts'
import type { PlannedGroup, PlannedSentinel, PlannedServer, TopologyPlan } from './topology-plan.ts'

/** Starts a node of a group in the given role. */
export function launchNode(
  plan: TopologyPlan,
  group: PlannedGroup,
  node: PlannedServer,
  replicaOf: ReplicaOf,
): Promise<RedisProcess> {
  const { program, dieWithParent, credentials, environment, grants } = plan
  const { directory, port, host } = node
  const config = renderTemplate(['node.conf', `${group.name}.conf`], {
    BIND: host,
    PORT: port,
    ANNOUNCE_HOST: host,
    DATA_DIRECTORY: directory,
    ACL_FILE: join(directory, 'users.acl'),
    REPLICATION_PASSWORD: credentials.replication,
    MIN_REPLICAS_TO_WRITE: group.nodes.length > 1 ? 1 : 0,
    MAX_MEMORY: group.maxMemory,
  })
  // The copy that a killed replica had begun to receive is as stale as any old cache.
  if (group.name === 'cache') rmSync(join(directory, 'dump.rdb'), { force: true })
  const users = { group: group.name, environment, credentials, ...(grants ? { grants } : {}) }
  return startRedisServer({
    program,
    directory,
    port,
    dieWithParent,
    config: replicaOf ? `${config}replicaof ${replicaOf.host} ${replicaOf.port}\n` : config,
    files: { 'users.acl': renderUsers(users) },
  })
}

/**
 * Starts a Sentinel. With all the others it gets what they had agreed on and today's settings
 * (`agreed`); alone it comes back with what it wrote itself (`own`).
 */
export function launchSentinel(
  plan: TopologyPlan,
  sentinel: PlannedSentinel,
  memory: 'agreed' | 'own',
): Promise<RedisProcess> {
  const { program, dieWithParent, credentials } = plan
  const { directory, port } = sentinel
  const file = join(directory, 'sentinel.conf')
  const config =
    memory === 'own' && existsSync(file)
      ? readFileSync(file, 'utf8')
      : renderSentinelConfig(plan, sentinel)
  const files = { 'users.acl': renderSentinelUsers(credentials) }
  return startRedisServer({
    program,
    directory,
    port,
    config,
    files,
    dieWithParent,
    sentinel: true,
  })
}
