import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  readProcessRecord,
  startPostgres,
  withFileLock,
  writeProcessRecord,
  type PostgresServer,
} from '@wattle/servers'

/**
 * One PostgreSQL for all test processes of this workspace. Whoever needs it first starts it; each user
 * leaves a record of its process; a keeper process stops the server and removes its directory when
 * none of those processes lives any more, however they ended.
 */
const workspace = fileURLToPath(new URL('../../..', import.meta.url))
const name = createHash('sha256').update(workspace).digest('hex').slice(0, 8)
export const home = join(tmpdir(), `wattle-test-postgres-${userInfo().uid}-${name}`)
const users = join(home, 'users')
const lock = `${home}.lock`
const keeperRecord = join(home, 'keeper.json')

export interface SharedPostgres {
  server: PostgresServer
  /** This process no longer needs it. */
  release(): void
}

/** Starts the shared server or finds it. It stays until the process ends or releases it. */
export function acquirePostgres(): Promise<SharedPostgres> {
  return withFileLock(lock, async () => {
    mkdirSync(users, { recursive: true, mode: 0o755 })
    const server = await startPostgres({
      directory: home,
      durable: false,
      maxConnections: 300,
      log: (line) => line.startsWith('Making') || console.error(line),
    })
    const record = join(users, `${randomUUID()}.json`)
    writeProcessRecord(record, process.pid)
    if (keeperOnDuty() === undefined) startKeeper()
    return { server, release: () => rmSync(record, { force: true }) }
  })
}

function startKeeper(): void {
  const keeper = spawn(
    process.execPath,
    [fileURLToPath(new URL('keeper.ts', import.meta.url)), home],
    { detached: true, stdio: 'ignore', env: { ...process.env, NODE_OPTIONS: '' } },
  )
  keeper.unref()
  if (keeper.pid !== undefined) writeProcessRecord(keeperRecord, keeper.pid)
}

/** The keeper on duty, if there is one. */
export const keeperOnDuty = () => readProcessRecord(keeperRecord)?.pid

/** Stops the server and removes everything, if no process uses it. Returns whether it is gone. */
export function stopIfUnused(): Promise<boolean> {
  return withFileLock(lock, async () => {
    if (!existsSync(home)) return true
    if (inUse()) return false
    const server = await startPostgres({ directory: home, durable: false })
    await server.destroy()
    rmSync(home, { recursive: true, force: true })
    return true
  })
}

/** Whether a living process uses it; forgets the dead. */
export function inUse(): boolean {
  if (!existsSync(users)) return false
  const files = readdirSync(users).map((file) => join(users, file))
  const dead = files.filter((file) => !readProcessRecord(file))
  for (const file of dead) rmSync(file, { force: true })
  return files.length > dead.length
}
