import type { RedisGroupKind } from './acl.ts'
import type { RedisProcess } from './redis-server.ts'
import type { ExitReason } from './server-process.ts'
import type { PlannedServer } from './topology-plan.ts'

/** One server of a topology, running or not. */
export interface RedisNode {
  /** Such as `cache-1` or `sentinel-3`. */
  readonly name: string
  readonly group: RedisGroupKind | 'sentinel'
  readonly host: string
  readonly port: number
  readonly directory: string
  /** Undefined while it does not run. */
  readonly pid: number | undefined
  /**
   * Starts it again, a data node as what its group needs now: as a replica of the present master. A
   * master that was killed waits here until another node is master. Does nothing when it runs.
   */
  start(): Promise<void>
  /** Ends a start that is still waiting, too: that start then fails. */
  stop(): Promise<void>
  /** Sends a signal (default SIGKILL); false when it does not run. */
  kill(signal?: NodeJS.Signals): boolean
  /** Resolves when the process that runs now ends; at once when none runs. */
  exited(): Promise<ExitReason | undefined>
}

export interface NodeOptions {
  planned: PlannedServer
  group: RedisNode['group']
  launch: (signal: AbortSignal) => Promise<RedisProcess>
}

/** A node and, for a start of all nodes together, the way to launch it in a given role. */
export function createNode({ planned, group, launch }: NodeOptions): {
  node: RedisNode
  launchAs: (start: () => Promise<RedisProcess>) => Promise<void>
} {
  let current: RedisProcess | undefined
  let starting: { done: Promise<void>; abort: AbortController } | undefined

  const launchAs = async (start: () => Promise<RedisProcess>) => {
    const started = await start()
    current = started
    void started.exited.then(() => {
      if (current === started) current = undefined
    })
  }
  const node: RedisNode = {
    name: planned.name,
    group,
    host: planned.host,
    port: planned.port,
    directory: planned.directory,
    get pid() {
      return current?.pid
    },
    start() {
      if (current) return Promise.resolve()
      if (starting) return starting.done
      const abort = new AbortController()
      const done = launchAs(() => launch(abort.signal)).finally(() => (starting = undefined))
      starting = { done, abort }
      return done
    },
    async stop() {
      starting?.abort.abort(new Error(`${planned.name} was stopped while it was starting`))
      await starting?.done.catch(() => undefined)
      await current?.stop()
    },
    kill: (signal) => current?.kill(signal) ?? false,
    exited: async () => current?.exited,
  }
  return { node, launchAs }
}
