import { join } from 'node:path'
import type { SavedSentinel } from './sentinel-state.ts'
import { renderTemplate } from './template.ts'
import type { PlannedSentinel, TopologyPlan } from './topology-plan.ts'

/**
 * The configuration of a Sentinel for a start of the whole topology. The settings are today's
 * templates; masters and epochs are what the Sentinels had agreed on; and they are told of one another
 * and of the replicas, which they would otherwise need some seconds to find.
 */
export function renderSentinelConfig(plan: TopologyPlan, self: PlannedSentinel): string {
  const { groups, sentinels, saved, credentials } = plan
  const head = renderTemplate('sentinel.conf', {
    BIND: self.host,
    PORT: self.port,
    ANNOUNCE_HOST: self.host,
    RESOLVE_HOSTNAMES: 'no',
    DATA_DIRECTORY: self.directory,
    ACL_FILE: join(self.directory, 'users.acl'),
    SENTINEL_PASSWORD: credentials.sentinel,
  })
  const watched = groups.map(({ name, master }) =>
    renderTemplate('sentinel-group.conf', {
      GROUP: name,
      MASTER_HOST: master.host,
      MASTER_PORT: master.port,
      QUORUM: Math.floor(sentinels.length / 2) + 1,
      SENTINEL_PASSWORD: credentials.sentinel,
      DOWN_AFTER_MS: plan.downAfterMs,
      FAILOVER_TIMEOUT_MS: plan.failoverTimeoutMs,
    }),
  )
  const highest = (epoch: (one: SavedSentinel) => number) => Math.max(0, ...saved.map(epoch))
  const memory = groups.flatMap(({ name, master, nodes }) => [
    `sentinel config-epoch ${name} ${highest((one) => one.groups[name]?.configEpoch ?? 0)}`,
    `sentinel leader-epoch ${name} ${highest((one) => one.groups[name]?.leaderEpoch ?? 0)}`,
    ...nodes
      .filter((node) => node !== master)
      .map(({ host, port }) => `sentinel known-replica ${name} ${host} ${port}`),
    ...sentinels
      .filter((other) => other.id !== self.id)
      .map(({ host, port, id }) => `sentinel known-sentinel ${name} ${host} ${port} ${id}`),
  ])
  const own = [
    `sentinel myid ${self.id}`,
    `sentinel current-epoch ${highest((one) => one.currentEpoch)}`,
  ]
  return [head, ...watched, ...memory, ...own, ''].join('\n')
}
