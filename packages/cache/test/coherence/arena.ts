import { setTimeout as wait } from 'node:timers/promises'
import { randomFrom, startDatabase, startSentinelGroup } from '@wattle/testkit'
import type { Fault } from './fault.ts'
import type { Audit, History, Load, Phase } from './history.ts'
import type { Batch, ToWorker, WorkerSettings } from './messages.ts'
import { clockMs, kindOf, owners, rowCount } from './plan.ts'
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
  say: (line: string) => void
}

/** A Sentinel group, a database and the processes of one run; faults are put to them one after another. */
export type Arena = Awaited<ReturnType<typeof openArena>>

export async function openArena({ seed, processes, modules, writesPerSecond, say }: ArenaOptions) {
  const stack = new AsyncDisposableStack()
  const random = randomFrom(seed)
  const group = stack.use(await startSentinelGroup({ services: ['billing'] }))
  const database = stack.use(await startDatabase())
  await createSource(database)
  const source = stack.adopt(openSource(database.ownerUrl), ({ close }) => close())
  const proxies = await Promise.all(
    group.nodes.map(({ port }) => startSubscriberProxy({ port, random })),
  )
  stack.defer(() => Promise.all(proxies.map(({ stop }) => stop())).then(() => {}))
  const throughProxies = Object.fromEntries(
    group.nodes.map(({ port }, index) => [port, proxies[index]?.port ?? port]),
  )

  const history: History = {
    rows: Array.from({ length: rowCount }, (_, row) => {
      const { name, way, strict } = kindOf(row)
      return { kind: name, strict, tagsInTurn: way === 'valueTag' ? owners : 1 }
    }),
    commits: [],
    invalidations: [],
    reads: [],
    phases: [],
    late: [],
    broken: [],
  }
  const collected = history as { -readonly [K in keyof History]: History[K][number][] }
  const totals = new Map<WorkerProcess | undefined, { loads: number; writes: number }>()
  let retired = { loads: 0, writes: 0 }

  const workers: WorkerProcess[] = []
  let nextProcess = 0

  async function start(role: 'near' | 'far' | 'successor' | 'auditor'): Promise<WorkerProcess> {
    const number = nextProcess++
    const settings: WorkerSettings = {
      process: number,
      seed: seed + 1_000 * (number + 1),
      redisUrl: group.urlFor('billing'),
      databaseUrl: database.ownerUrl,
      modules,
      // Faults of the network befall one of them, as they do.
      ports: role === 'far' ? throughProxies : {},
      outbox: number === 0 || role === 'successor',
      skewMs: random.pick([0, 3_600_000, -3_600_000]),
      auditor: role === 'auditor',
      writesPerSecond,
    }
    let self: WorkerProcess | undefined
    const onBatch = ({ reads, invalidations, late, broken, loads, writes }: Batch) => {
      if (reads.row.length > 0) collected.reads.push(reads)
      collected.invalidations.push(...invalidations)
      collected.late.push(...late)
      collected.broken.push(...broken)
      if (self) totals.set(self, { loads, writes })
    }
    self = await startWorker(settings, { onBatch, onToken: (token) => forward(number, token) })
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

  /** Loads and writes so far. */
  function work(): Load {
    const sum = { ...retired }
    for (const { loads, writes } of totals.values()) {
      sum.loads += loads
      sum.writes += writes
    }
    return sum
  }
  async function workDuring(ms: number): Promise<Load> {
    const before = work()
    await wait(ms)
    const after = work()
    return { loads: after.loads - before.loads, writes: after.writes - before.writes }
  }

  /** Asks every process for every row, again and again, until all agree with the source. Nobody writes meanwhile. */
  async function agreement(
    deadlineMs: number,
    sinceMs: number,
    isMadeUpFor: boolean,
  ): Promise<Audit> {
    const versions = await source.versions()
    const invalidated = new Map<number, Set<number>>()
    for (const { row, version } of history.invalidations) {
      invalidated.set(row, (invalidated.get(row) ?? new Set()).add(version))
    }
    // Where a writer died before it could invalidate, only an outbox makes up for it.
    const owed = (row: number) =>
      isMadeUpFor || (invalidated.get(row)?.size ?? 0) >= (versions[row] ?? 1) - 1
    for (;;) {
      const answers = await Promise.all(workers.map((worker) => worker.audit()))
      const differing = answers.flatMap((answer, index) =>
        answer.versions.flatMap((version, row) =>
          version === versions[row] || !owed(row)
            ? []
            : [
                `${kindOf(row).name} ${row} in process ${workers[index]?.process}: version ${version} from ` +
                  `${answer.origins[row]}, not ${versions[row]}`,
              ],
        ),
      )
      if (differing.length === 0) return { agreedAfterMs: clockMs() - sinceMs, differing }
      if (clockMs() > deadlineMs) return { agreedAfterMs: undefined, differing }
      await wait(50)
    }
  }

  let baseline: Load | undefined
  return {
    history,
    /** One fault under load, its healing, some calm, and an audit of every tier. */
    async phase(fault: Fault, { calmMs }: { calmMs: number }): Promise<void> {
      if (fault.failover) await group.whenReady(60_000)
      const fromMs = clockMs()
      all({ type: 'go' })
      const { thawed = [] } =
        (await fault.inject({
          group,
          proxies,
          workers,
          random,
          say,
          /** A process that was killed, and one in its place. */
          async replace(worker) {
            await worker.exited
            const { loads, writes } = totals.get(worker) ?? { loads: 0, writes: 0 }
            totals.delete(worker)
            retired = { loads: retired.loads + loads, writes: retired.writes + writes }
            const successor = await start('successor')
            workers[workers.indexOf(worker)] = successor
            successor.tell({ type: 'go' })
          },
        })) ?? {}
      const healedMs = clockMs()
      await wait(calmMs)
      const after = await workDuring(1_000)
      baseline ??= after
      await Promise.all(workers.map((worker) => worker.pause()))
      const deadlineMs = Math.max(healedMs + agreeWithinMs, clockMs() + 1_000)
      const audit = await agreement(deadlineMs, clockMs(), fault.bounds.lostWriterMs !== undefined)
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
      collected.phases.push(phase)
    },
    /** The whole run, for the checker. */
    async finish(): Promise<History> {
      return { ...history, commits: await source.commits() }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
