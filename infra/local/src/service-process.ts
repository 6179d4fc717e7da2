import { sendSignal, writeProcessRecord, type ExitReason } from '@wattle/servers'
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { root } from './home.ts'

/** A Node program that was started, in a process group of its own. */
export type ServiceProcess = {
  readonly pid: number | undefined
  /** Resolves, never rejects, when it has ended and its last line was read. */
  readonly exited: Promise<ExitReason>
  /** Asks it to finish (SIGTERM), kills it after `withinMs`. */
  stop: (withinMs: number) => Promise<ExitReason>
  kill: (signal: NodeJS.Signals) => void
}

/**
 * Runs a TypeScript program of the repo on this Node. It has no terminal, so that Ctrl-C reaches it only through whoever
 * started it. The record tells a later start what was left running if this process is killed.
 */
export function startServiceProcess(options: {
  args: readonly string[]
  env: NodeJS.ProcessEnv
  recordFile: string
  onLine: (line: string, stream: 'stdout' | 'stderr') => void
}): ServiceProcess {
  const { args, env, recordFile, onLine } = options
  const child = spawn(process.execPath, args, {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const record = child.pid === undefined ? undefined : writeProcessRecord(recordFile, child.pid)
  const read = (stream: Readable, name: 'stdout' | 'stderr') => {
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => onLine(line, name))
  }
  read(child.stdout, 'stdout')
  read(child.stderr, 'stderr')

  const exited = new Promise<ExitReason>((resolve) => {
    const end = (code: number | null, signal: NodeJS.Signals | null) => {
      rmSync(recordFile, { force: true })
      resolve({ code, signal })
    }
    child.once('close', end)
    child.once('error', (error) => {
      onLine(`cannot be started: ${error.message}`, 'stderr')
      end(null, null)
    })
    // A process it left behind could hold the pipes open for ever.
    child.once('exit', () =>
      setTimeout(() => [child.stdout, child.stderr].map((pipe) => pipe.destroy()), 500),
    )
  })
  const kill = (signal: NodeJS.Signals) => {
    if (record) sendSignal(record, signal)
  }
  return {
    pid: child.pid,
    exited,
    kill,
    async stop(withinMs) {
      kill('SIGTERM')
      // A frozen process would take the request only when it thaws.
      kill('SIGCONT')
      const timer = setTimeout(() => kill('SIGKILL'), withinMs)
      const exit = await exited
      clearTimeout(timer)
      return exit
    },
  }
}
