import { formatAddress, sameAddress, type Address } from './address.ts'
import type { Backend, BackendOptions } from './backend.ts'
import { createClient, type Client } from './client.ts'
import { fixedRoute } from './link.ts'
import { watchSentinels, type SentinelWatch } from './sentinel-watch.ts'
import { readTlsOptions } from './tls.ts'
import { groupTopology } from './topology.ts'
import type { SentinelConfig, SingleConfig } from './url.ts'

/** The shortest time between two reconnections because a master lacks replicas. */
const doubtEveryMs = 2000

/** A master: the one server there is, or the one the Sentinels name. */
export function createDirectBackend(
  config: SingleConfig | SentinelConfig,
  { name, log, state, random, now, mapAddress, ...timeouts }: BackendOptions,
): Backend {
  const tls = config.tls && readTlsOptions(config.tls)
  const clients = new Set<Client>()
  const watch = config.mode === 'sentinel' ? watchGroup(config) : undefined
  const route = watch?.route ?? fixedRoute(addressOf(config as SingleConfig))
  let doubtedAt = -Infinity

  const open = (purpose: string, overrides: Partial<typeof timeouts> = {}): Client => {
    const client = createClient({
      ...timeouts,
      ...overrides,
      user: config.user,
      password: config.password,
      database: config.database,
      connectionName: `${name}:${purpose}`,
      route,
      tls,
      masterOnly: true,
      random,
      onDoubt,
    })
    clients.add(client)
    return client
  }
  const commands = open('commands')
  const { redis, link } = commands
  redis.on('ready', () => state.ready(link.address ? formatAddress(link.address) : ''))
  redis.on('close', () => {
    state.down(commands.lastError())
    watch?.look()
  })

  function watchGroup({ sentinels, group, ...rest }: SentinelConfig): SentinelWatch {
    return watchSentinels({
      sentinels,
      group,
      credentials: { user: rest.sentinelUser, password: rest.sentinelPassword },
      tls: rest.sentinelTls && readTlsOptions(rest.sentinelTls),
      mapAddress,
      name,
      random,
      now,
      log,
      onAnswer: followMaster,
    })
  }

  function followMaster(master: Address | undefined): void {
    for (const { link, hurry } of clients) {
      if (link.address && watch?.refutes(link.address)) {
        link.sever('the Sentinels name another master')
      }
      if (master && !sameAddress(link.address, master)) hurry()
    }
  }

  /** A master without enough replicas refuses writes. It may be one that a failover left behind, or simply poor. */
  function onDoubt(): void {
    if (watch) {
      watch.look()
    } else if (now() - doubtedAt > doubtEveryMs) {
      doubtedAt = now()
      severAll('the server lacks replicas: its name may lead to another one by now')
    }
  }

  function severAll(reason: string): void {
    for (const client of clients) client.link.sever(reason)
  }

  return {
    client: redis,
    openSubscriber: () => open('subscriber'),
    openBlocking: (maxBlockMs) =>
      open('blocking', {
        commandTimeoutMs: maxBlockMs + timeouts.commandTimeoutMs,
        socketTimeoutMs: maxBlockMs + timeouts.socketTimeoutMs,
      }).redis,
    masters: () => [redis],
    beat() {
      if (redis.status !== 'ready') return
      redis.info('replication').then(
        (text) => {
          if (/^role:slave/m.test(text)) severAll('the server became a replica')
        },
        () => {},
      )
    },
    async topology() {
      const address: Address | undefined = link.address
      const text = await redis.info('replication').catch(() => undefined)
      return groupTopology(config.mode, address, text, watch?.views() ?? [])
    },
    close() {
      watch?.close()
      for (const client of clients) client.close()
    },
  }
}

const addressOf = ({ host, port }: SingleConfig): Address => ({ host, port })
