import type { ConnectionOptions } from 'node:tls'
import { formatAddress, sameAddress, type Address } from './address.ts'
import type { Credentials } from './client.ts'
import type { Route } from './link.ts'
import type { Log } from './log.ts'
import { connectSentinel, isRefuted, newestOpinion } from './sentinel.ts'
import { timing } from './settings.ts'

export interface SentinelView extends Address {
  reachable: boolean
  /** The master it names. */
  master?: Address
}

export interface SentinelWatch {
  /** Leads to the master. */
  readonly route: Route
  /** Whether a connection to `address` is to be cut, because another server is the master. */
  refutes(address: Address): boolean
  /** Asks all Sentinels now. */
  look(): void
  views(): SentinelView[]
  close(): void
}

/**
 * Knows who is master, for all connections of a process to one group.
 *
 * Each Sentinel is asked every 500 ms, and also tells by itself when it switches masters. What the client library
 * offers instead was tried: its failover detector left 4 of 36 clients unconnected for good, and asking a Sentinel
 * only after a connection broke never helps against a master that is frozen, or that was demoted while it still
 * answers.
 *
 * - A living connection is cut only when two Sentinels agree on another master (one, if only one is configured) and
 *   none with a newer configuration contradicts them.
 * - A new connection goes where the newest configuration says, be it of a single Sentinel: only the elected leader
 *   of a failover can raise the epoch. The role is verified on arrival.
 * - When no Sentinel answers, the last master known is tried: it may well be alive.
 */
export function watchSentinels({
  sentinels: addresses,
  group,
  credentials,
  tls,
  mapAddress = (address) => address,
  name,
  random,
  now,
  log,
  onAnswer,
}: {
  sentinels: readonly Address[]
  group: string
  credentials: Credentials
  tls?: ConnectionOptions | undefined
  mapAddress?: ((address: Address) => Address) | undefined
  /** Of the connection it serves. */
  name: string
  random: () => number
  now: () => number
  log: Log
  /** Called when a Sentinel has spoken; with the new master when it changed by that. */
  onAnswer: (changedTo: Address | undefined) => void
}): SentinelWatch {
  let lastMaster: Address | undefined
  const waiting = new Set<() => void>()

  const sentinels = addresses.map((address) =>
    connectSentinel({
      ...credentials,
      address,
      group,
      tls,
      mapAddress,
      connectionName: `${name}:watch`,
      random,
      now,
      onAnswer: consider,
      onSwitch: look,
    }),
  )
  const opinions = () => sentinels.flatMap((sentinel) => sentinel.opinion() ?? [])

  function look(): void {
    for (const sentinel of sentinels) sentinel.ask()
  }

  function consider(): void {
    const master = newestOpinion(opinions())?.master
    const changed = master !== undefined && !sameAddress(master, lastMaster)
    if (changed) {
      const to = formatAddress(master)
      if (lastMaster) {
        const from = formatAddress(lastMaster)
        log.warn({ redis: name, from, to }, `Redis ${name} has another master: ${to}`)
      }
      lastMaster = master
    }
    for (const proceed of waiting) proceed()
    onAnswer(changed ? master : undefined)
  }

  /** Resolves when a Sentinel has spoken, or when the time is up. */
  const aWord = (signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer)
        waiting.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, timing.sentinelCommandTimeoutMs + 100)
      waiting.add(done)
      signal.addEventListener('abort', done)
    })

  async function next(signal: AbortSignal): Promise<Address> {
    look()
    if (opinions().length === 0) await aWord(signal)
    if (lastMaster) return lastMaster
    if (sentinels.some((sentinel) => sentinel.groupUnknown())) {
      throw new Error(`the Sentinels watch no group named ${group}`)
    }
    const reasons = new Set(sentinels.flatMap((sentinel) => sentinel.lastError()?.message ?? []))
    const where = addresses.map(formatAddress).join(', ')
    const why = reasons.size > 0 ? [...reasons].join('; ') : 'not in time'
    throw new Error(`no Sentinel answers at ${where} (${why})`)
  }

  const timer = setInterval(look, timing.sentinelPollMs)
  timer.unref()

  return {
    route: { next },
    refutes: (address) => isRefuted(address, opinions(), Math.min(2, addresses.length)),
    look,
    views: () =>
      sentinels.map((sentinel) => {
        const opinion = sentinel.opinion()
        return {
          ...sentinel.address,
          reachable: opinion !== undefined,
          ...(opinion ? { master: opinion.master } : {}),
        }
      }),
    close() {
      clearInterval(timer)
      for (const sentinel of sentinels) sentinel.close()
    },
  }
}
