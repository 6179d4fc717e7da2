import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'

/**
 * What it takes to find a process again after the one that started it was killed: its id and the
 * moment it started, since process ids are reused.
 */
export interface ProcessRecord {
  pid: number
  /** Opaque; compared by equality only. */
  startedAt: string
}

/** Identity of a running process, or undefined when there is none with this id. */
export function identifyProcess(pid: number): ProcessRecord | undefined {
  const startedAt = process.platform === 'linux' ? linuxStart(pid) : psStart(pid)
  return startedAt === undefined ? undefined : { pid, startedAt }
}

function linuxStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the name in parentheses and may hold blanks: count from its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    return `${boot}:${fields[19]}`
  } catch {
    return undefined
  }
}

function psStart(pid: number): string | undefined {
  try {
    const [state, ...start] = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C' },
    })
      .trim()
      .split(/\s+/)
    return state === undefined || state.startsWith('Z') ? undefined : start.join(' ')
  } catch {
    return undefined
  }
}

/** Whether exactly this process, not a later one with the same id, is running. */
export function isRunning(record: ProcessRecord): boolean {
  return identifyProcess(record.pid)?.startedAt === record.startedAt
}

/** Writes the identity of a running process to a file; returns it. */
export function writeProcessRecord(file: string, pid: number): ProcessRecord | undefined {
  const record = identifyProcess(pid)
  if (record) writeFileSync(file, JSON.stringify(record), { mode: 0o600 })
  return record
}

/** The record in this file if its process is still running; undefined for anything else. */
export function readProcessRecord(file: string): ProcessRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(file, 'utf8')) as ProcessRecord
    return isRunning(record) ? record : undefined
  } catch {
    return undefined
  }
}

/** Resolves with true as soon as the process is gone, with false after `withinMs`. */
export async function waitForEnd(record: ProcessRecord, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs
  while (isRunning(record)) {
    if (Date.now() >= deadline) return false
    await wait(20)
  }
  return true
}

/**
 * Stops the process of this file, if it still runs: asks with `signal` (SIGTERM), kills after
 * `withinMs` (5 000), and removes the file. Returns whether there was one.
 */
export async function stopRecorded(
  file: string,
  { signal = 'SIGTERM', withinMs = 5000 }: { signal?: NodeJS.Signals; withinMs?: number } = {},
): Promise<boolean> {
  const record = readProcessRecord(file)
  if (record) await endProcess(record, signal, withinMs)
  rmSync(file, { force: true })
  return record !== undefined
}

/** How often a process that was asked to end is asked again: some drop a request that comes at a bad moment. */
export const askAgainMs = 250

/** Asks a process to end, again and again, kills it when it has not within the time. A frozen one is woken first. */
export async function endProcess(
  record: ProcessRecord,
  signal: NodeJS.Signals,
  withinMs: number,
): Promise<void> {
  for (let leftMs = withinMs; leftMs > 0; leftMs -= askAgainMs) {
    sendSignal(record, signal)
    sendSignal(record, 'SIGCONT')
    if (await waitForEnd(record, Math.min(askAgainMs, leftMs))) return
  }
  sendSignal(record, 'SIGKILL')
  await waitForEnd(record, 5000)
}

/** Sends a signal to exactly this process; false when it is gone. */
export function sendSignal(record: ProcessRecord, signal: NodeJS.Signals): boolean {
  if (!isRunning(record)) return false
  try {
    return process.kill(record.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
