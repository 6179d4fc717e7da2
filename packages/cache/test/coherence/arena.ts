import { setTimeout as wait } from 'node:timers/promises'
import { randomFrom, startDatabase, startSentinelGroup } from '@wattle/testkit'
import { agreement } from './agreement.ts'
import { createCollected } from './collected.ts'
import type { Fault } from './fault.ts'
import type { Missing } from './features/facts.ts'
import { needsState, type Feature } from './features/names.ts'
import { createNeighbour } from './features/neighbour.ts'
import { createBooks, readBooks } from './features/source-books.ts'
import type { History, Load, Phase } from './history.ts'
import type { ToWorker, WorkerSettings } from './messages.ts'
import { clockMs } from './clock.ts'
import { createPlan } from './plan.ts'
import { createSource, openSource } from './source.ts'
import { startSubscriberProxy } from './subscriber-proxy.ts'
import { startWorker, type WorkerProcess } from './worker-process.ts'

/** After healing every tier agrees with the source within this. */
const agreeWithinMs = 5_000

export type ArenaOptions = {
  seed: number
  /** That read and write; one more, the auditor, only reads L2. */
  processes: number
  modules: WorkerSettings['modules']
  writesPerSecond: number
  /** What is switched on in the processes. Default nothing. */
  features?: readonly Feature[]
  say: (line: string) => void
}

/** A Sentinel group, a database and the processes of one run; faults are put to them one after another. */
export type Arena = Awaited<ReturnType<typeof openArena>>

export async function openArena({
  seed,
  processes,
  modules,
  writesPerSecond,
  features = [],
  say,
}: ArenaOptions) {
  const stack = new AsyncDisposableStack()
  const random = randomFrom(seed)
  const plan = createPlan(features)
  const services = ['billing']
  const [group, state] = await Promise.all([
    startSentinelGroup({ services }),
    needsState(features) ? startSentinelGroup({ group: 'state', services }) : undefined,
  ])
  stack.use(group)
  stack.use(state)
  const database = stack.use(await startDatabase())
  await createSource(database, plan.rowCount)
  await createBooks(database)
  const source = stack.adopt(openSource(database.ownerUrl), ({ close }) => close())
  const proxies = await Promise.all(
    group.nodes.map(({ port }) => startSubscriberProxy({ port, random })),
  )
  stack.defer(() => Promise.all(proxies.map(({ stop }) => stop())).then(() => {}))
  const throughProxies = Object.fromEntries(
    group.nodes.map(({ port }, index) => [port, proxies[index]?.port ?? port]),
  )
  const collected = createCollected(plan)
  const neighbour = features.includes('budget') ? createNeighbour(group) : undefined
  const missing: Missing[] = []

  const workers: WorkerProcess[] = []
  let nextProcess = 0

  async function start(role: 'near' | 'far' | 'successor' | 'auditor'): Promise<WorkerProcess> {
    const number = nextProcess++
    const settings: WorkerSettings = {
      process: number,
      seed: seed + 1_000 * (number + 1),
      redisUrl: group.urlFor('billing'),
      stateUrl: state?.urlFor('billing'),
      databaseUrl: database.ownerUrl,
      features,
      modules,
      // Faults of the network befall one of them, as they do.
      ports: role === 'far' ? throughProxies : {},
      outbox: number === 0 || role === 'successor',
      skewMs: random.pick([0, 3_600_000, -3_600_000]),
      auditor: role === 'auditor',
      writesPerSecond,
    }
    let self: WorkerProcess | undefined
    self = await startWorker(settings, {
      onBatch: (batch) => collected.add(self, batch),
      onToken: (token) => forward(number, token),
    })
    return self
  }

  /** A token is good in any process but the one that wrote: that one needs none. */
  function forward(from: number, token: ToWorker): void {
    const others = workers.filter(({ process, settings }) => process !== from && !settings.auditor)
    if (others.length > 0) random.pick(others).tell(token)
  }

  for (let n = 0; n < processes; n++)
    workers.push(await start(n === processes - 1 ? 'far' : 'near'))
  workers.push(await start('auditor'))
  stack.defer(() => Promise.all(workers.map((worker) => worker.close())).then(() => {}))
  const all = (message: ToWorker) => {
    for (const worker of workers) worker.tell(message)
  }

  async function workDuring(ms: number): Promise<Load> {
    const before = collected.work()
    await wait(ms)
    const after = collected.work()
    return { loads: after.loads - before.loads, writes: after.writes - before.writes }
  }

  let baseline: Load | undefined
  return {
    /** One fault under load, its healing, some calm, and an audit of every tier. */
    async phase(fault: Fault, { calmMs }: { calmMs: number }): Promise<void> {
      if (fault.failover) await group.whenReady(60_000)
      if (fault.needs === 'state') await state?.whenReady(60_000)
      await neighbour?.settle()
      const fromMs = clockMs()
      all({ type: 'go' })
      const { thawed = [] } =
        (await fault.inject({
          group,
          state,
          proxies,
          workers,
          random,
          say,
          /** A process that was killed, and one in its place. */
          async replace(worker) {
            await worker.exited
            collected.retire(worker)
            const successor = await start('successor')
            workers[workers.indexOf(worker)] = successor
            successor.tell({ type: 'go' })
            return successor
          },
        })) ?? {}
      const healedMs = clockMs()
      await wait(calmMs)
      const after = await workDuring(1_000)
      baseline ??= after
      await Promise.all(workers.map((worker) => worker.pause()))
      const sinceMs = clockMs()
      const audit = await agreement({
        deadlineMs: Math.max(healedMs + agreeWithinMs, sinceMs + (state ? 4_000 : 1_000)),
        sinceMs,
        isMadeUpFor: fault.bounds.lostWriterMs !== undefined,
        workers,
        source,
        plan,
        collected,
      })
      const gone = (await neighbour?.missing()) ?? 0
      if (gone > 0 && !fault.emptiesRedis) missing.push({ keys: gone, atMs: clockMs() })
      const phase: Phase = {
        name: fault.name,
        fromMs,
        healedMs,
        toMs: clockMs(),
        bounds: fault.bounds,
        thawed,
        load: { before: baseline, after },
        audit,
      }
      collected.history.phases.push(phase)
    },
    /** The whole run, for the checker. */
    async finish(): Promise<History> {
      const { history, puts, holds, accusations, activity } = collected
      const commits = await source.commits()
      if (features.length === 0) return { ...history, commits }
      const books = await readBooks(source.query)
      const noted = { puts, holds, accusations, missing, activity: activity() }
      return { ...history, commits, facts: { on: features, ...noted, ...books } }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
