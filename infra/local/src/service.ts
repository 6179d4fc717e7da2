import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createBackoff, seconds } from './backoff.ts'
import type { Home } from './home.ts'
import { endingWords } from './keep-running.ts'
import { openLogFile } from './log-file.ts'
import { renderLogLine } from './log-line.ts'
import type { Output } from './output.ts'
import { ask } from './readiness.ts'
import type { ServiceDefinition } from './service-list.ts'
import { startServiceProcess, type ServiceProcess } from './service-process.ts'

/** What a process ends with when its configuration is wrong (EX_CONFIG): starting it again would not help. */
const configurationFault = 78
const stopWithinMs = 8_000
const pollMs = 50
const connectWithinMs = 5_000
const rememberedLines = 15

export type ServiceState = 'starting' | 'ready' | 'waiting' | 'misconfigured' | 'stopped'

export type Service = ReturnType<typeof createService>

/**
 * One service: its process, its log, and whether it answers. Started again when it ends, with backoff; but not when it
 * ended because its configuration is wrong: that is said once, and waits for `restart`.
 */
export function createService(options: {
  definition: ServiceDefinition
  port: number
  env: NodeJS.ProcessEnv
  home: Home
  output: Output
  /** Once it aborts nothing is started any more. */
  signal: AbortSignal
  /** Readiness is not asked for before: what is asked too early is a failure in the log. */
  mayAskReadiness: () => Promise<unknown>
  /** Added to the line that says that its configuration is wrong. */
  hint?: string
}) {
  const {
    definition,
    port,
    env,
    home,
    output,
    signal: ending,
    mayAskReadiness,
    hint = '',
  } = options
  const { name } = definition
  const log = openLogFile(join(home.logs, `${name}.log`))
  const backoff = createBackoff()
  const lastLines: string[] = []
  const alive = Promise.withResolvers<void>()
  const ready = Promise.withResolvers<void>()
  const misconfigured = Promise.withResolvers<void>()
  let state: ServiceState = 'stopped'
  let lives = 0
  let current: ServiceProcess | undefined
  let stopping = new AbortController()
  let running = Promise.resolve()

  function onLine(line: string) {
    log.write(line)
    lastLines.push(line)
    lastLines.splice(0, lastLines.length - rememberedLines)
    output.line(name, renderLogLine(line, output.style))
  }

  /** One life of the process after another, until it is stopped. */
  async function live(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      state = 'starting'
      lastLines.length = 0
      lives += 1
      const startedAt = performance.now()
      backoff.started()
      const child = startServiceProcess({
        args: [definition.main],
        env,
        recordFile: join(home.run, `${name}.json`),
        onLine,
      })
      current = child
      const life = new AbortController()
      void becomeReady(AbortSignal.any([signal, life.signal]), startedAt)
      const exit = await child.exited
      life.abort()
      current = undefined
      if (signal.aborted) break
      if (exit.code === configurationFault) {
        state = 'misconfigured'
        output.fail(`${name} is not started again: its configuration is wrong (see above)${hint}`)
        misconfigured.resolve()
        return
      }
      state = 'waiting'
      const delayMs = backoff.delayMs()
      output.warn(`${name} ${endingWords(exit)}; it is started again in ${seconds(delayMs)}`)
      await delay(delayMs, undefined, { signal }).catch(() => undefined)
    }
    state = 'stopped'
  }

  async function becomeReady(signal: AbortSignal, startedAt: number): Promise<void> {
    await until(async () => (await ask(port, '/livez', signal))?.status === 200, signal)
    if (signal.aborted) return
    alive.resolve()
    await mayAskReadiness()
    const patientUntil = performance.now() + connectWithinMs
    await until(async () => {
      const answer = await ask(port, '/readyz', signal)
      // Without Redis it is ready as well, only slower: at a start Redis is about to be there.
      const isWhole = answer?.body.includes('"degraded"') === false
      return answer?.status === 200 && (isWhole || performance.now() > patientUntil)
    }, signal)
    if (signal.aborted) return
    state = 'ready'
    if (lives > 1) output.say(`${name} is ready again (${seconds(performance.now() - startedAt)})`)
    ready.resolve()
  }

  function start() {
    if (ending.aborted) return
    stopping = new AbortController()
    running = live(stopping.signal)
  }

  async function stop() {
    stopping.abort()
    await current?.stop(stopWithinMs)
    await running
  }

  return {
    definition,
    port,
    get state() {
      return state
    },
    get pid() {
      return current?.pid
    },
    /** The last lines of the present process, as it wrote them. */
    lastLines: lastLines as readonly string[],
    /** Resolves when it answers for the first time. */
    alive: alive.promise,
    /** Resolves when it is ready for the first time. */
    ready: ready.promise,
    /** Resolves when it has ended because its configuration is wrong. */
    misconfigured: misconfigured.promise,
    start,
    stop,
    /** Ends the present process and starts another at once. */
    async restart() {
      await stop()
      backoff.reset()
      start()
    },
    kill: (signal: NodeJS.Signals) => current?.kill(signal),
  }
}

async function until(isSo: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !(await isSo())) await delay(pollMs)
}
