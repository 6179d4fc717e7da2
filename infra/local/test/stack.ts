import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import { eventually } from '@wattle/testkit'
import { expect } from 'vitest'
import { root } from '../src/home.ts'
import { planPorts, takenPorts, type Ports } from '../src/ports.ts'

/** A home and free ports for a stack that runs beside others. */
export type Place = {
  readonly home: string
  readonly ports: Ports
  /** WATTLE_HOME and the port bases. */
  readonly env: Readonly<Record<string, string>>
  /** Deletes the home. Everything must be stopped. */
  remove: () => void
}

/** A command of the stack under way, such as `start`. */
export type Run = {
  readonly pid: number
  /** All that it printed so far. */
  output: () => string
  /** Resolves when it has printed this; fails when it ends before, or after `withinMs` (default 40,000). */
  says: (what: string | RegExp, withinMs?: number) => Promise<void>
  kill: (signal: NodeJS.Signals) => void
  /** Resolves with the exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
}

/** A whole stack that was started for a test. */
export type TestStack = {
  /** The gateway. */
  readonly url: string
  /** Service → URL. */
  readonly services: Readonly<Record<string, string>>
  /** E-mail address and password of the first demo login, as printed. */
  readonly demoLogin: readonly [email: string, password: string]
  readonly place: Place
  readonly run: Run
  /** Stops it and deletes its home. */
  stop: () => Promise<void>
}

/** Starts a stack of its own with `start`, from empty data, and resolves when it says that it is ready. */
export async function startStack(
  options: { place?: Place; args?: string[]; env?: Record<string, string> } = {},
): Promise<TestStack> {
  const { place = await choosePlace(), args = [], env = {} } = options
  const run = launch(place, 'start', args, env)
  await run.says(readyLine(place))
  const login = /^ {2}(\S+@\S+) +(\S+)/m.exec(run.output())
  const services = Object.fromEntries(
    Object.entries(place.ports.services).map(([name, port]) => [name, `http://127.0.0.1:${port}`]),
  )
  return {
    url: services['gateway'] ?? '',
    services,
    demoLogin: [login?.[1] ?? '', login?.[2] ?? ''],
    place,
    run,
    async stop() {
      run.kill('SIGINT')
      await run.ended
      place.remove()
    },
  }
}

/** The last line of a start that succeeded. */
export function readyLine(place: Place): RegExp {
  return new RegExp(`^wattle is ready: http://localhost:${place.ports.services['gateway']}$`, 'm')
}

export async function choosePlace(): Promise<Place> {
  const home = mkdtempSync(join(tmpdir(), 'wattle-stack-'))
  // PostgreSQL's account must be able to enter it; otherwise the data would lie elsewhere.
  chmodSync(home, 0o711)
  for (;;) {
    // Below the range of outgoing connections, so that nothing takes a port while its server is away.
    const base = randomInt(1_100, 2_500) * 10
    const env = {
      WATTLE_HOME: home,
      WATTLE_HTTP_PORT_BASE: String(base),
      WATTLE_CACHE_PORT_BASE: String(base + 20),
      WATTLE_STATE_PORT_BASE: String(base + 30),
      WATTLE_SENTINEL_PORT_BASE: String(base + 40),
      // All requests come from one address.
      WATTLE_RATE_LIMIT_SCALE: '1000',
    }
    const ports = planPorts(env)
    if ((await takenPorts(ports)).length > 0) continue
    return { home, ports, env, remove: () => rmSync(home, { recursive: true, force: true }) }
  }
}

/** Runs a command of the stack in this place. It is stopped when the test process ends, whatever happens. */
export function launch(
  place: Place,
  command: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Run {
  const main = join(root, 'infra', 'local', 'src', 'main.ts')
  const child = spawn(process.execPath, [main, command, ...args], {
    env: { ...process.env, NO_COLOR: '1', ...place.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  let result: number | NodeJS.Signals | undefined
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('close', (code, signal) => {
      result = code ?? signal ?? 1
      resolve(result)
    })
    // What a killed supervisor leaves running holds the pipes open.
    child.once('exit', (code, signal) => {
      if (signal !== 'SIGKILL') return
      result = code ?? signal
      resolve(result)
    })
  })
  return {
    pid: child.pid ?? 0,
    output: () => output,
    ended,
    kill: (signal) => void child.kill(signal),
    async says(what, withinMs = 40_000) {
      const isSaid = () => (typeof what === 'string' ? output.includes(what) : what.test(output))
      const deadline = performance.now() + withinMs
      while (!isSaid()) {
        if (result !== undefined) throw new Error(`it ended (${result}) before:\n${output}`)
        if (performance.now() > deadline) throw new Error(`it has not said ${what}:\n${output}`)
        await delay(25)
      }
    },
  }
}

/** Runs a command to its end. */
export async function runToEnd(
  place: Place,
  command: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number | NodeJS.Signals; output: string }> {
  const run = launch(place, command, args, env)
  const code = await run.ended
  return { code, output: run.output() }
}

/** Processes that belong to this place, by working directory, command line or environment; for people. */
export function processesOf(place: Place): string[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) return []
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
      const cwd = readlinkSync(`/proc/${pid}/cwd`)
      const isOurs =
        cwd.startsWith(place.home) ||
        command.includes(place.home) ||
        environment.includes(`WATTLE_HOME=${place.home}`)
      return isOurs && command !== '' ? [`${pid} ${command}`] : []
    } catch {
      return []
    }
  })
}

/** Fails unless nothing of this place is running any more. */
export async function expectNothingLeft(place: Place): Promise<void> {
  await eventually(() => expect(processesOf(place)).toEqual([]), { withinMs: 3_000 })
}
