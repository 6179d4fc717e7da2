import {
  fieldsOf,
  redisInfo,
  redisQuery,
  type RedisAddress,
  type RedisLogin,
} from './redis-query.ts'
import { isSame, type RoleEvidence } from './roles.ts'
import { newestMaster } from './sentinel-state.ts'
import { savedState, type PlannedGroup, type PlannedServer } from './topology-plan.ts'
import type { TopologyPlan } from './topology-plan.ts'

function adminOf(plan: TopologyPlan): RedisLogin {
  return { username: 'admin', password: plan.credentials.admin }
}

/** The master of a group according to the Sentinels that answer; undefined when none does. */
export async function askMaster(
  plan: TopologyPlan,
  group: string,
): Promise<RedisAddress | undefined> {
  const answers = await Promise.all(
    plan.sentinels.map(async (sentinel) => {
      const reply = await redisQuery(sentinel, adminOf(plan), 'SENTINEL', ['MASTER', group]).catch(
        () => undefined,
      )
      if (reply === undefined) return undefined
      const { ip: host = '', port, 'config-epoch': configEpoch } = fieldsOf(reply)
      return { host, port: Number(port), configEpoch: Number(configEpoch) }
    }),
  )
  const newest = newestMaster(answers)
  return newest && { host: newest.host, port: newest.port }
}

/** What can be known about the role of a node that is about to start while others may be running. */
export async function gatherEvidence(
  plan: TopologyPlan,
  group: PlannedGroup,
  self: PlannedServer,
): Promise<RoleEvidence> {
  const others = group.nodes.filter((node) => !isSame(node, self))
  const [live, ...peers] = await Promise.all([
    askMaster(plan, group.name),
    ...others.map(async (address) => {
      const info = await redisInfo(address, adminOf(plan), 'replication').catch(() => undefined)
      if (!info) return undefined
      return { address, role: info['role'] === 'master' ? 'master' : 'replica' } as const
    }),
  ])
  return {
    self,
    live,
    saved: newestMaster(plan.sentinels.map((one) => savedState(one)?.groups[group.name])),
    peers: peers.filter((peer) => peer !== undefined),
    first: group.master,
  }
}

/**
 * Throws a sentence when a failover could not succeed now: a Sentinel that does not see its quorum or
 * the replicas, a replica that does not follow.
 */
export async function requireReady(plan: TopologyPlan): Promise<void> {
  const checks = plan.groups.flatMap((group) =>
    plan.sentinels.map((sentinel) => requireSentinelReady(plan, sentinel, group)),
  )
  await Promise.all(checks)
}

async function requireSentinelReady(
  plan: TopologyPlan,
  sentinel: PlannedServer,
  { name, nodes }: PlannedGroup,
): Promise<void> {
  const ask = (command: string) =>
    redisQuery(sentinel, adminOf(plan), 'SENTINEL', [command, name], 2000)
  const [, replicas, others] = await Promise.all([
    ask('CKQUORUM'),
    ask('REPLICAS'),
    ask('SENTINELS'),
  ])
  const following = listOf(replicas).filter(
    (replica) => replica['flags'] === 'slave' && replica['master-link-status'] === 'ok',
  )
  if (following.length !== nodes.length - 1) {
    throw new Error(`${sentinel.name} sees ${following.length} good replicas of ${name}`)
  }
  const seen = listOf(others).filter((other) => other['flags'] === 'sentinel').length
  if (seen !== plan.sentinels.length - 1) {
    throw new Error(`${sentinel.name} sees ${seen} other Sentinels for ${name}`)
  }
}

function listOf(reply: unknown): Record<string, string>[] {
  return Array.isArray(reply) ? reply.map(fieldsOf) : []
}
