import type { Cluster, Redis } from 'ioredis'
import type { Address } from './address.ts'
import type { Client } from './client.ts'
import type { Log } from './log.ts'
import type { ConnectionState } from './state.ts'
import type { Topology } from './topology.ts'

export type RedisClient = Redis | Cluster

/** What both ways of reaching Redis need. */
export interface BackendOptions {
  name: string
  log: Log
  state: ConnectionState
  commandTimeoutMs: number
  socketTimeoutMs: number
  random: () => number
  now: () => number
  mapAddress?: ((address: Address) => Address) | undefined
}

/** One way of reaching Redis: `direct.ts` (a master, found by address or by Sentinels) or `cluster.ts`. */
export interface Backend {
  readonly client: RedisClient
  /** A new connection for subscriptions. */
  openSubscriber(): Client
  /** A new connection for commands that block for at most `maxBlockMs`. */
  openBlocking(maxBlockMs: number): RedisClient
  /** One connection to each master. */
  masters(): Redis[]
  /** Called every 500 ms: makes something awaited on each connection, and looks whether it still leads right. */
  beat(): void
  topology(): Promise<Topology>
  /** At once, without goodbye. */
  close(): void
}
