import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { RedisGroupKind } from './acl.ts'
import { stopRecorded } from './process-record.ts'
import { createNode, type RedisNode } from './redis-node.ts'
import type { RedisProcess } from './redis-server.ts'
import { awaitRole, isSame, type ReplicaOf } from './roles.ts'
import { launchNode, launchSentinel } from './topology-launch.ts'
import { planTopology, type PlannedGroup, type PlannedServer } from './topology-plan.ts'
import type { TopologyOptions, TopologyPlan } from './topology-plan.ts'
import { askMaster, gatherEvidence, requireReady } from './topology-state.ts'

export interface RedisTopology {
  /** The nodes of all groups, then the Sentinels. */
  readonly servers: readonly RedisNode[]
  readonly sentinels: readonly RedisNode[]
  nodes(group: RedisGroupKind): readonly RedisNode[]
  /** The node that the Sentinels take for the master now. */
  master(group: RedisGroupKind): Promise<RedisNode>
  /** What a service, or `admin`, connects with: `redis+sentinel://…/<group>`. */
  url(group: RedisGroupKind, user: string): string
  /** Resolves when a failover of every group could succeed; throws after `withinMs` (30 000). */
  whenReady(withinMs?: number): Promise<void>
  /** Stops everything, the Sentinels first, so that they see no failure in it. */
  stop(): Promise<void>
}

/**
 * Starts groups of Redis servers and the Sentinels that watch them, and resolves when a failover could
 * succeed. Servers that an earlier process left running on the same directory are stopped first. Who is
 * master is what the Sentinels had agreed on; only a group that never ran takes its first node.
 * Throws PortTakenError, ServerStartError or the reason of an abort, with nothing left running.
 */
export async function startRedisTopology(options: TopologyOptions): Promise<RedisTopology> {
  await stopLeftovers(options)
  const plan = planTopology(options)
  const groups = plan.groups.map((group) => ({ group, members: membersOf(plan, group) }))
  const watchers = plan.sentinels.map((planned) => ({
    ...createNode({
      planned,
      group: 'sentinel',
      launch: () => launchSentinel(plan, planned, 'own'),
    }),
    launchFirst: () => launchSentinel(plan, planned, 'agreed'),
  }))
  const data = groups.flatMap(({ members }) => members)
  const sentinels = watchers.map(({ node }) => node)
  const nodes = data.map(({ node }) => node)

  const stop = async () => {
    await Promise.all(sentinels.map((node) => node.stop()))
    await Promise.all(nodes.map((node) => node.stop()))
  }
  const whenReady = (withinMs = 30_000) => untilReady(plan, withinMs, options.signal)
  try {
    for (const batch of [
      data.filter(({ isMaster }) => isMaster),
      data.filter(({ isMaster }) => !isMaster),
      watchers,
    ]) {
      await startAll(batch)
      options.signal?.throwIfAborted()
    }
    await whenReady()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    servers: [...nodes, ...sentinels],
    sentinels,
    nodes: (group) => nodes.filter((node) => node.group === group),
    async master(group) {
      const address = await askMaster(plan, group)
      const found = nodes.find((node) => isSame(node, address))
      if (!found) throw new Error(`no Sentinel answers who is master of ${group}`)
      return found
    },
    url: (group, user) => urlOf(plan, group, user),
    whenReady,
    stop,
  }
}

interface Member {
  node: RedisNode
  isMaster: boolean
  launchAs: (start: () => Promise<RedisProcess>) => Promise<void>
  launchFirst: () => Promise<RedisProcess>
}

function membersOf(plan: TopologyPlan, group: PlannedGroup): Member[] {
  return group.nodes.map((planned) => {
    const isMaster = planned === group.master
    const first: ReplicaOf = isMaster ? undefined : group.master
    return {
      isMaster,
      launchFirst: () => launchNode(plan, group, planned, first),
      ...createNode({
        planned,
        group: group.name,
        launch: async (signal) => {
          const gather = () => gatherEvidence(plan, group, planned)
          const replicaOf = await awaitRole(gather, roleBoundMs(plan), signal)
          return launchNode(plan, group, planned, replicaOf)
        },
      }),
    }
  })
}

/** Detection, a failed first attempt, and the second. */
function roleBoundMs(plan: TopologyPlan): number {
  return plan.downAfterMs + 2 * plan.failoverTimeoutMs + 5000
}

async function startAll(members: readonly Omit<Member, 'isMaster'>[]): Promise<void> {
  const started = members.map(({ launchAs, launchFirst }) => launchAs(launchFirst))
  // All must have come to an end before the failure of one stops the others.
  await Promise.allSettled(started)
  await Promise.all(started)
}

async function untilReady(
  plan: TopologyPlan,
  withinMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = Date.now() + withinMs
  for (;;) {
    signal?.throwIfAborted()
    try {
      return await requireReady(plan)
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await wait(20)
  }
}

async function stopLeftovers(options: TopologyOptions): Promise<void> {
  const { sentinels, groups, log } = planTopology(options)
  const stopAll = (servers: readonly PlannedServer[]) =>
    Promise.all(servers.map(({ directory }) => stopRecorded(join(directory, 'server.pid.json'))))
  const stopped = [
    ...(await stopAll(sentinels)),
    ...(await stopAll(groups.flatMap(({ nodes }) => nodes))),
  ].filter((was) => was)
  if (stopped.length > 0) log(`Stopped ${stopped.length} Redis servers that were left running`)
}

function urlOf(plan: TopologyPlan, group: RedisGroupKind, user: string): string {
  const { services, discovery, admin } = plan.credentials
  const password = user === 'admin' ? admin : services[user]
  if (password === undefined) throw new Error(`there is no Redis user ${user}`)
  const hosts = plan.sentinels.map(({ host, port }) => `${host}:${port}`).join(',')
  const query = new URLSearchParams({ sentinelUser: 'discovery', sentinelPassword: discovery })
  return `redis+sentinel://${user}:${encodeURIComponent(password)}@${hosts}/${group}?${query.toString()}`
}
