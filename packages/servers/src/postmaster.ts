import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Place } from './postgres-place.ts'
import { identifyProcess, isRunning, type ProcessRecord } from './process-record.ts'

/** The main process of a PostgreSQL server. */
export interface Postmaster extends ProcessRecord {
  socketDirectory: string
}

const socket = '.s.PGSQL.5432'

/** What the pid file in the data directory says, true or not. */
export function readPidFile(place: Place): Postmaster | undefined {
  try {
    const lines = readFileSync(pidFile(place), 'utf8').split('\n')
    const pid = Number(lines[0])
    const startedAt = identifyProcess(pid)?.startedAt ?? 'gone'
    return { pid, startedAt, socketDirectory: lines[4] || place.sockets }
  } catch {
    return undefined
  }
}

/** Whether it is this cluster's. Without /proc, a process of that id has to do. */
export function isPostmasterOf(place: Place, found: Postmaster): boolean {
  if (!isRunning(found)) return false
  return process.platform === 'linux' ? worksIn(found.pid, place.data) : true
}

/**
 * Removes the pid and lock files of a postmaster that is gone. PostgreSQL does that itself, except
 * when the process id is in use again, or belongs to a zombie that nobody reaps, as in containers.
 *
 * The files also keep a new server away from memory that the old one's children still use. So they
 * go only when no such child is left; where that cannot be told, PostgreSQL is left to judge.
 */
export async function removeStaleFiles(place: Place, stale: Postmaster): Promise<void> {
  if (process.platform !== 'linux') return
  const deadline = Date.now() + 10_000
  while (processIds().some((pid) => worksIn(pid, place.data))) {
    if (Date.now() > deadline) return
    await wait(20)
  }
  for (const name of [`${socket}.lock`, socket]) {
    rmSync(join(stale.socketDirectory, name), { force: true })
  }
  rmSync(pidFile(place), { force: true })
}

function pidFile(place: Place): string {
  return join(place.data, 'postmaster.pid')
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** All processes of a server have its data directory as working directory. */
function worksIn(pid: number, directory: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === directory
  } catch {
    return false
  }
}
