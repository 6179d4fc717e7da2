import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { guard, release } from './guardian.ts'
import { askAgainMs, identifyProcess, sendSignal, writeProcessRecord } from './process-record.ts'

export interface ExitReason {
  code: number | null
  signal: NodeJS.Signals | null
}

/** A server that was started and is ready, in a process group of its own. */
export interface ServerProcess {
  readonly pid: number
  /** Where it writes its log. */
  readonly logFile: string
  /** Resolves, never rejects, when the process has ended for whatever reason. */
  readonly exited: Promise<ExitReason>
  /** Asks it to end, kills it after `withinMs` (default 10 000); resolves when it is gone. */
  stop(withinMs?: number): Promise<ExitReason>
  /** Sends a signal (default SIGKILL); false when the process is gone already. */
  kill(signal?: NodeJS.Signals): boolean
}

export interface ServerProcessOptions {
  command: string
  args: string[]
  env?: Record<string, string>
  /** Created when absent. Gets `server.log` and, while the process runs, `server.pid.json`. */
  directory: string
  /** When true nothing survives this process, not even its kill -9. Default: the server survives. */
  dieWithParent?: boolean
  /** Text in the log from which on it is ready. */
  readyWhen: RegExp
  /** Default 15 000. */
  readyWithinMs?: number
  /** How to signal it, where that is not by process id. */
  sendSignal?: (signal: NodeJS.Signals) => boolean
}

/** The server ended, or was not ready in time. The message ends with the last lines of its log. */
export class ServerStartError extends Error {
  readonly log: string

  constructor(reason: string, log: string) {
    const tail = log.trim().split('\n').slice(-8).join('\n')
    super(`${reason}${tail === '' ? '' : `:\n${tail}`}`)
    this.name = 'ServerStartError'
    this.log = log
  }
}

/** Starts a server and waits until its log says that it is ready. Throws ServerStartError. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { directory, dieWithParent = false, readyWithinMs = 15_000 } = options
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const logFile = join(directory, 'server.log')
  const logStart = fileSize(logFile)
  const readLog = () => readFileSync(logFile).subarray(logStart).toString('utf8')

  // A file, not a pipe: a server that outlives its parent must still be able to write its log.
  const log = openSync(logFile, 'a', 0o600)
  const child = spawn(options.command, options.args, {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...options.env },
    cwd: directory,
    detached: true,
  })
  closeSync(log)

  const pidFile = join(directory, 'server.pid.json')
  let ended = false
  const exited = new Promise<ExitReason>((resolve) => {
    const end = (code: number | null, signal: NodeJS.Signals | null) => {
      ended = true
      if (child.pid !== undefined && dieWithParent) release(`process:${child.pid}`)
      rmSync(pidFile, { force: true })
      resolve({ code, signal })
    }
    child.once('exit', end)
    child.once('error', () => end(null, null))
  })
  const { pid } = child
  if (pid === undefined) throw new ServerStartError(`${options.command} cannot be started`, '')
  if (dieWithParent) guard(`process:${pid}`)
  else child.unref()
  writeProcessRecord(pidFile, pid)
  const record = identifyProcess(pid)

  const kill = (signal: NodeJS.Signals = 'SIGKILL') => {
    if (ended || !record) return false
    return options.sendSignal ? options.sendSignal(signal) : sendSignal(record, signal)
  }
  const stop = async (withinMs = 10_000) => {
    const ask = () => {
      kill('SIGTERM')
      // A frozen process would take the request only when it thaws.
      kill('SIGCONT')
    }
    ask()
    child.ref()
    // Redis drops a request that comes while it writes its first append-only file.
    const again = setInterval(ask, askAgainMs)
    const timer = setTimeout(() => kill('SIGKILL'), withinMs)
    const reason = await exited
    clearInterval(again)
    clearTimeout(timer)
    return reason
  }

  const deadline = Date.now() + readyWithinMs
  while (!options.readyWhen.test(readLog())) {
    if (ended) {
      const { code, signal } = await exited
      throw new ServerStartError(`${options.command} ended (${signal ?? code})`, readLog())
    }
    if (Date.now() > deadline) {
      kill('SIGKILL')
      await exited
      const reason = `${options.command} was not ready within ${readyWithinMs} ms`
      throw new ServerStartError(reason, readLog())
    }
    await wait(5)
  }
  return { pid, logFile, exited, stop, kill }
}

function fileSize(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
