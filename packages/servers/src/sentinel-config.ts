import type { RedisAddress } from './redis-query.ts'
import type { SavedSentinel } from './sentinel-state.ts'
import { renderTemplate } from './template.ts'

export interface SentinelSelf extends RedisAddress {
  /** 40 hexadecimal digits. */
  id: string
}

export interface WatchedGroup {
  name: string
  master: RedisAddress
  nodes: readonly RedisAddress[]
}

export interface SentinelConfigOptions {
  self: SentinelSelf
  /** All Sentinels, itself included. */
  sentinels: readonly SentinelSelf[]
  groups: readonly WatchedGroup[]
  /** What the Sentinels remembered before the stop. */
  saved: readonly SavedSentinel[]
  password: string
  directory: string
  downAfterMs: number
  failoverTimeoutMs: number
}

/**
 * The configuration of a Sentinel for a start of the whole topology. The settings are today's
 * template; the masters and the epochs are what the Sentinels had agreed on; and they need not search
 * for one another, which would take them some seconds.
 */
export function renderSentinelConfig(options: SentinelConfigOptions): string {
  const { self, sentinels, groups, saved, password } = options
  const head = renderTemplate('sentinel.conf', {
    BIND: self.host,
    PORT: self.port,
    DATA_DIRECTORY: options.directory,
    ACL_FILE: `${options.directory}/users.acl`,
    SENTINEL_PASSWORD: password,
    ANNOUNCE_HOST: self.host,
    RESOLVE_HOSTNAMES: 'no',
  })
  const watched = groups.map(({ name, master }) =>
    renderTemplate('sentinel-group.conf', {
      GROUP: name,
      MASTER_HOST: master.host,
      MASTER_PORT: master.port,
      QUORUM: Math.floor(sentinels.length / 2) + 1,
      SENTINEL_PASSWORD: password,
      DOWN_AFTER_MS: options.downAfterMs,
      FAILOVER_TIMEOUT_MS: options.failoverTimeoutMs,
    }),
  )
  const highest = (pick: (one: SavedSentinel) => number) => Math.max(0, ...saved.map(pick))
  const memory = groups.flatMap(({ name, master, nodes }) => [
    `sentinel config-epoch ${name} ${highest((one) => one.groups[name]?.configEpoch ?? 0)}`,
    `sentinel leader-epoch ${name} ${highest((one) => one.groups[name]?.leaderEpoch ?? 0)}`,
    ...nodes
      .filter((node) => node.port !== master.port || node.host !== master.host)
      .map((node) => `sentinel known-replica ${name} ${node.host} ${node.port}`),
    ...sentinels
      .filter((other) => other.id !== self.id)
      .map((other) => `sentinel known-sentinel ${name} ${other.host} ${other.port} ${other.id}`),
  ])
  const own = [
    `sentinel myid ${self.id}`,
    `sentinel current-epoch ${highest((one) => one.currentEpoch)}`,
  ]
  return [head, ...watched, ...memory, ...own, ''].join('\n')
}
