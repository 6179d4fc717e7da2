import { createClient, type ClientOptions } from './client.ts'
import { sameAddress, type Address } from './address.ts'
import { fixedRoute } from './link.ts'
import { timing } from './settings.ts'

/** What one Sentinel says. */
export interface Opinion {
  master: Address
  /** Sentinels number configurations; that of each failover is higher than all before it. */
  epoch: number
}

/** The opinion of the newest configuration. */
export function newestOpinion(opinions: readonly Opinion[]): Opinion | undefined {
  return opinions.reduce<Opinion | undefined>(
    (best, opinion) => (best && best.epoch >= opinion.epoch ? best : opinion),
    undefined,
  )
}

/** Whether `quorum` opinions agree that another server is master, and no newer one says that it is `address`. */
export function isRefuted(address: Address, opinions: readonly Opinion[], quorum: number): boolean {
  const here = opinions.filter(({ master }) => sameAddress(master, address))
  const newestHere = newestOpinion(here)?.epoch ?? -1
  return opinions.some(
    ({ master, epoch }) =>
      !sameAddress(master, address) &&
      epoch >= newestHere &&
      opinions.filter((other) => sameAddress(other.master, master)).length >= quorum,
  )
}

export interface Sentinel {
  readonly address: Address
  /** Its last opinion, while it is fresh. */
  opinion(): Opinion | undefined
  /** Its last answer was that it watches no such group. */
  groupUnknown(): boolean
  lastError(): Error | undefined
  /** Asks it now; `onAnswer` follows unless it fails. */
  ask(): void
  close(): void
}

/** The connection to one Sentinel. It may be absent, or frozen, for as long as it likes. */
export function connectSentinel({
  address,
  group,
  mapAddress,
  now,
  onAnswer,
  onSwitch,
  ...connection
}: Pick<ClientOptions, 'user' | 'password' | 'tls' | 'connectionName' | 'random'> & {
  address: Address
  group: string
  mapAddress: (address: Address) => Address
  now: () => number
  onAnswer: () => void
  /** It says by itself that the group has another master. */
  onSwitch: () => void
}): Sentinel {
  const client = createClient({
    ...connection,
    route: fixedRoute(address),
    masterOnly: false,
    commandTimeoutMs: timing.sentinelCommandTimeoutMs,
    socketTimeoutMs: timing.socketTimeoutMs,
  })
  const { redis } = client
  let opinion: Opinion | undefined
  let heardAt = -Infinity
  let groupUnknown = false
  let asking: 'no' | 'once' | 'again' = 'no'

  redis.on('ready', () => {
    redis.subscribe('+switch-master').catch(() => {})
    ask()
  })
  redis.on('message', (_channel, text: string) => {
    if (text.startsWith(`${group} `)) onSwitch()
  })

  function ask(): void {
    if (redis.status !== 'ready') return
    if (asking !== 'no') {
      asking = 'again'
      return
    }
    asking = 'once'
    inquire()
      .then(onAnswer, () => {})
      .finally(() => {
        const again = asking === 'again'
        asking = 'no'
        if (again) ask()
      })
  }

  async function inquire(): Promise<void> {
    // The address of MASTER is right only after the failover, that of the other command while it is under way.
    const [details, named] = (await Promise.all([
      redis.call('SENTINEL', 'MASTER', group).catch(() => []),
      redis.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', group),
    ])) as [string[], [string, string] | null]
    groupUnknown = named === null
    if (!named) return
    const epoch = Number(details[details.indexOf('config-epoch') + 1])
    opinion = {
      master: mapAddress({ host: named[0], port: Number(named[1]) }),
      epoch: Number.isFinite(epoch) ? epoch : 0,
    }
    heardAt = now()
  }

  return {
    address,
    opinion: () => (now() - heardAt <= 3 * timing.sentinelPollMs ? opinion : undefined),
    groupUnknown: () => groupUnknown,
    lastError: client.lastError,
    ask,
    close: client.close,
  }
}
