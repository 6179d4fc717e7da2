import type { Cache } from './cache.ts'
import { createDuty } from './duty.ts'
import { durationMs, type Duration } from './duration.ts'
import { internalsOf } from './internals.ts'
import { counterIn, gaugeIn } from './metrics.ts'
import { wholeNumber } from './number-option.ts'
import { createRecords } from './warming-records.ts'
import { beginRun, closing, type Found, type WarmingRun } from './warming-run.ts'

const priorities = ['high', 'medium', 'low'] as const

export type WarmingJob = {
  /** Lower-case, with hyphens. */
  name: string
  /** What is due at the same time runs in this order. Default medium. */
  priority?: (typeof priorities)[number]
  /** From start to start, in the fleet. Default 30m. */
  every?: Duration
  /** Names the entries, as an array or bit by bit, the most wanted first. */
  find: (signal: AbortSignal) => Found | Promise<Found>
  /** Entries at a time, 1 to 100. Default 50. */
  batch?: number
  /** Loads at once, 1 to 10, for kinds without `loadMany`. Default 5. */
  concurrency?: number
  /** Of what failed. Default 3, after 0.1, 0.2 and 0.4 s. */
  retries?: number
}

export type WarmingStatus = {
  readonly name: string
  readonly priority: (typeof priorities)[number]
  readonly everyMs: number
  /** In whichever process. */
  readonly present: WarmingRun | undefined
  /** Newest first. */
  readonly past: readonly WarmingRun[]
}

export type Warming = {
  /** Runs what is due now and from now on. Every job is due at start, unless the fleet began it within the last minute. */
  start(): void
  /** Ends the run under way in this process; resolves when it has. */
  close(): Promise<void>
  /**
   * Runs a job now. Undefined when it runs already, here or in another process, was stopped in another one less than
   * ten seconds ago, or Redis is not there.
   */
  run(job: string): Promise<WarmingRun | undefined>
  /** Stops the run of a job, in whichever process it is; there within a second. */
  stop(job: string): Promise<void>
  status(): Promise<WarmingStatus[]>
  /** Of the run of a job that is under way in this process, also while Redis is away. */
  progress(job: string): WarmingRun | undefined
}

const lookMs = 1_000
/** A run that says nothing for so long has ended with its process, and another may begin. */
const dutyMs = 10_000
/** So that the processes of a deploy do not warm one after the other what the first has just warmed. */
const quietMs = 60_000

/**
 * Fills Redis with what will be asked for, before it is: jobs that name entries, each run by one process of the fleet at
 * a time, one job at a time in a process. Throws a TypeError or RangeError for a job that is not declared well.
 */
export function createWarming({
  cache,
  jobs,
}: {
  cache: Cache
  jobs: readonly WarmingJob[]
}): Warming {
  const { space, registry } = internalsOf(cache)
  const labels = { service: space.keys.service, namespace: space.keys.service }

  const lines = jobs.map((job) => lineOf(job))
  const byName = new Map(lines.map((line) => [line.name, line]))
  if (byName.size < jobs.length) throw new TypeError('two warming jobs have one name: rename one')
  const entriesTotal = counterIn(registry, {
    name: 'wattle_cache_warming_entries_total',
    help: 'Entries that warming jobs found, by what became of them',
    labelNames: ['service', 'namespace', 'job', 'result'],
  })
  const lastSeconds = gaugeIn(registry, {
    name: 'wattle_cache_warming_seconds',
    help: 'Duration of the last run of a warming job in this process',
    labelNames: ['service', 'namespace', 'job'],
  })
  const inOrder = lines.toSorted(
    (a, b) => priorities.indexOf(a.priority) - priorities.indexOf(b.priority),
  )

  function lineOf(job: WarmingJob) {
    const { name, priority = 'medium', every = '30m' } = job
    const { batch = 50, concurrency = 5, retries = 3 } = job
    if (typeof name !== 'string' || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) {
      throw new TypeError(
        `the name of a warming job is ${JSON.stringify(name)}: give lower-case words with hyphens between them`,
      )
    }
    if (typeof job.find !== 'function') {
      throw new TypeError(`find of the warming job ${name} is no function: let it name the entries`)
    }
    if (!priorities.includes(priority)) {
      throw new TypeError(
        `priority of the warming job ${name} is ${priority}: give ${priorities.join(', ')}`,
      )
    }
    wholeNumber(`batch of the warming job ${name}`, batch, 1, 100)
    wholeNumber(`concurrency of the warming job ${name}`, concurrency, 1, 10)
    wholeNumber(`retries of the warming job ${name}`, retries, 0, 10)
    return {
      name,
      priority,
      batch,
      concurrency,
      retries,
      find: job.find,
      everyMs: durationMs(`every of the warming job ${name}`, every),
      duty: createDuty(space, `warming-${name}`, dutyMs),
      records: createRecords(space, name),
      fresh: true,
    }
  }
  type Line = ReturnType<typeof lineOf>
  type Current = {
    readonly line: Line
    readonly abort: AbortController
    readonly done: Promise<unknown>
    progress?: () => WarmingRun
  }

  function lineNamed(name: string): Line {
    const line = byName.get(name)
    if (line) return line
    throw new TypeError(
      `no warming job is called ${name}: there are ${[...byName.keys()].join(', ')}`,
    )
  }

  let current: Current | undefined

  /** With the duty held. */
  async function perform(line: Line, abort: AbortController): Promise<WarmingRun> {
    const { name, duty, records } = line
    const { progress, done } = beginRun({ ...line, space, job: name, signal: abort.signal })
    if (current) current.progress = progress
    await records.show(progress())
    let over = false
    const beat = setInterval(() => {
      void duty.hold().then((held) => {
        if (held === 'lost') abort.abort()
        else if (!over) void records.show(progress())
      })
    }, lookMs)
    beat.unref()
    const run = await done
    over = true
    clearInterval(beat)
    await records.add(run)
    await duty.leave()
    for (const result of ['warmed', 'present', 'skipped', 'failed'] as const) {
      entriesTotal.inc({ ...labels, job: name, result }, run[result])
    }
    lastSeconds.set({ ...labels, job: name }, run.durationMs / 1_000)
    const level = run.state === 'failed' || run.failed > 0 ? 'warn' : 'info'
    space.log[level](run, `the warming job ${name} is ${run.state}`)
    return run
  }

  async function begin(line: Line): Promise<WarmingRun | undefined> {
    while (current) {
      if (current.line === line) return undefined
      await current.done
    }
    if (closed) return undefined
    const abort = new AbortController()
    const work = line.duty.take().then((held) => (held ? perform(line, abort) : undefined))
    current = { line, abort, done: work }
    try {
      return await work
    } finally {
      current = undefined
    }
  }

  async function isDue(line: Line): Promise<boolean> {
    const [last] = await line.records.past(1)
    if (!last) return true
    const nowMs = space.channel.shards[0]?.clock.nowMs() ?? 0
    // A process that has just started runs everything, and what did not come to its end by itself is not done.
    const soon = line.fresh || last.state === 'failed' || last.state === 'interrupted'
    return nowMs - last.startedAtMs >= (soon ? Math.min(quietMs, line.everyMs) : line.everyMs)
  }

  /** Runs what is due, the most important first; after each it looks anew. */
  async function look(): Promise<void> {
    if (current || !space.channel.shards.every(({ available }) => available)) return
    for (const line of inOrder) {
      if (closed) return
      const due = await isDue(line)
      line.fresh = false
      if (due && (await begin(line)) && timer) return look()
    }
  }

  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> | undefined
  let closed = false
  return {
    start() {
      closed = false
      const lookNow = () => {
        looking ??= look().finally(() => (looking = undefined))
      }
      timer ??= setInterval(lookNow, lookMs * (0.75 + space.random() / 2)).unref()
      lookNow()
    },
    async close() {
      closed = true
      clearInterval(timer)
      timer = undefined
      current?.abort.abort(closing)
      await current?.done
      await looking
    },
    run: (name) => begin(lineNamed(name)),
    async stop(name) {
      const line = lineNamed(name)
      const own = current?.line === line ? current : undefined
      own?.abort.abort()
      await own?.done
      await line.duty.revoke()
    },
    progress: (name) => (current?.line === lineNamed(name) ? current.progress?.() : undefined),
    status: () =>
      Promise.all(
        inOrder.map(async ({ name, priority, everyMs, records }) => {
          const [present, past] = await Promise.all([records.present(), records.past()])
          return { name, priority, everyMs, present, past }
        }),
      ),
  }
}
