import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { identifyProcess, isRunning, type ProcessRecord } from './process-record.ts'

/**
 * Runs `work` while no other process on this machine runs under the same lock file. A lock left by a
 * process that is gone is broken. Throws when the lock is still held after `withinMs`.
 */
export async function withFileLock<T>(
  file: string,
  work: () => Promise<T>,
  { withinMs = 120_000 }: { withinMs?: number } = {},
): Promise<T> {
  const deadline = Date.now() + withinMs
  while (!tryLock(file)) {
    if (Date.now() > deadline) throw new Error(`${file} is held by another process`)
    await wait(25)
  }
  try {
    return await work()
  } finally {
    rmSync(file, { force: true })
  }
}

function tryLock(file: string): boolean {
  const own = `${file}.${randomUUID()}`
  writeFileSync(own, JSON.stringify(identifyProcess(process.pid)), { mode: 0o600 })
  try {
    // A link appears with its content or not at all, so nobody can read a half-written lock.
    linkSync(own, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    breakStale(file)
    return false
  } finally {
    rmSync(own, { force: true })
  }
}

/** Takes a dead process's lock away; if it turns out to be a living one's, gives it back. */
function breakStale(file: string): void {
  const aside = `${file}.${randomUUID()}`
  try {
    if (holderRuns(file)) return
    renameSync(file, aside)
    if (holderRuns(aside)) linkSync(aside, file)
  } catch {
    // Released or broken by another process just now.
  } finally {
    rmSync(aside, { force: true })
  }
}

function holderRuns(file: string): boolean {
  return isRunning(JSON.parse(readFileSync(file, 'utf8')) as ProcessRecord)
}
