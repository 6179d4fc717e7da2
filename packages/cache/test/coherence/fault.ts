import type { Random, TestSentinelGroup } from '@wattle/testkit'
import type { Bounds, Phase } from './history.ts'
import type { SubscriberProxy } from './subscriber-proxy.ts'
import type { WorkerProcess } from './worker-process.ts'

export type FaultContext = {
  group: TestSentinelGroup
  /** Between one of the processes and the nodes, in the order of the nodes. */
  proxies: readonly SubscriberProxy[]
  workers: readonly WorkerProcess[]
  random: Random
  say: (line: string) => void
  /** Waits for the end of a process that was killed, and starts another. */
  replace(worker: WorkerProcess): Promise<void>
}

export type Fault = {
  name: string
  /** Needs a group in which a failover can succeed. */
  failover: boolean
  bounds: Bounds
  /** Breaks something and mends it; what it resolves to is noted in the phase. */
  inject(context: FaultContext): Promise<{ thawed?: Phase['thawed'] } | void>
}
