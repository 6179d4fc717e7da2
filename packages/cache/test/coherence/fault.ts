import type { Random, TestSentinelGroup } from '@wattle/testkit'
import type { Feature } from './features/names.ts'
import type { Bounds, Phase } from './history.ts'
import type { SubscriberProxy } from './subscriber-proxy.ts'
import type { WorkerProcess } from './worker-process.ts'

export type FaultContext = {
  group: TestSentinelGroup
  /** Where a feature needs one. */
  state: TestSentinelGroup | undefined
  /** Between one of the processes and the nodes, in the order of the nodes. */
  proxies: readonly SubscriberProxy[]
  workers: readonly WorkerProcess[]
  random: Random
  say: (line: string) => void
  /** Waits for the end of a process that was killed, and starts another. */
  replace(worker: WorkerProcess): Promise<WorkerProcess>
}

export type Fault = {
  name: string
  /** Needs a group in which a failover can succeed. */
  failover: boolean
  /** For runs with this feature, or one that needs the `state` group. */
  needs?: Feature | 'state'
  /** What other namespaces keep on the same Redis goes too. */
  emptiesRedis?: boolean
  bounds: Bounds
  /** Breaks something and mends it; what it resolves to is noted in the phase. */
  inject(context: FaultContext): Promise<{ thawed?: Phase['thawed'] } | void>
}
