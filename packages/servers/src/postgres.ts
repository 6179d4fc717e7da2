import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Client } from 'pg'
import type { PostgresPrograms } from './find-postgres.ts'
import { guard, release } from './guardian.ts'
import { choosePlace, ensureCluster, removeCluster, runProgram } from './postgres-place.ts'
import { superuser, superuserPassword, type Place } from './postgres-place.ts'
import { isPostmasterOf, readPidFile, removeStaleFiles, type Postmaster } from './postmaster.ts'
import { isRunning, sendSignal } from './process-record.ts'

export interface StartPostgresOptions {
  /** Holds the data and all else of this server; created when absent. */
  directory: string
  /** Gets a line for each step that takes time or needs explaining. */
  log?: (line: string) => void
  /** Default: what `findPostgres` finds. */
  programs?: PostgresPrograms
  /** Default 100. */
  maxConnections?: number
  /** Default true. False is faster and may lose everything in a crash: for tests. */
  durable?: boolean
  /** When true the server is stopped at once when this process ends, however it ends. Default false. */
  dieWithParent?: boolean
  /** Begin with empty data: what is there is stopped and deleted. Default false. */
  fresh?: boolean
}

export interface PostgresServer {
  readonly pid: number
  readonly version: string
  /** Whether it was running already and was taken over. */
  readonly adopted: boolean
  /** Where its socket is; it listens nowhere else. */
  readonly socketDirectory: string
  readonly logFile: string
  /** Where its data are: not under `directory` when the account it runs as cannot reach that. */
  readonly dataDirectory: string
  /** Without arguments the superuser's URL of the database `postgres`. */
  url(database?: string, user?: string, password?: string): string
  /** Runs SQL as superuser, in the database `postgres` unless told otherwise. */
  query(sql: string, options?: QueryOptions): Promise<Record<string, unknown>[]>
  isRunning(): boolean
  /** Resolves when the server has ended for whatever reason, half a second later at most. */
  readonly exited: Promise<void>
  /** Ends connections, writes everything down, stops. */
  stop(): Promise<void>
  /** Stops it and deletes all of its files. */
  destroy(): Promise<void>
  /** Sends the postmaster a signal (default SIGKILL); false when it is gone. */
  kill(signal?: NodeJS.Signals): boolean
}

export interface QueryOptions {
  database?: string
  values?: unknown[]
}

/**
 * Starts PostgreSQL on this directory, or takes over the one that runs there already. It listens on a
 * Unix socket only, and every user needs a password. Started by root it runs as an unprivileged
 * account. After a kill -9 it recovers what was committed. Not for two processes at once on the same
 * directory: use `withFileLock` where that can happen.
 */
export async function startPostgres(options: StartPostgresOptions): Promise<PostgresServer> {
  const { directory, log = () => undefined, dieWithParent = false, fresh = false } = options
  if (fresh) await removePostgres(options)
  const place = await choosePlace(directory, options.programs, log)
  await ensureCluster(place, log)
  writeSettings(place, options)
  const running = await findPostmaster(place)
  const postmaster = running ?? (await startPostmaster(place))
  if (dieWithParent) guard(`postgres:${postmaster.pid}`)
  return serverOf(place, postmaster, running !== undefined)
}

async function removePostgres({ directory, programs }: StartPostgresOptions): Promise<void> {
  const place = await choosePlace(directory, programs, () => undefined)
  const running = readPidFile(place)
  if (running && isPostmasterOf(place, running)) await stopPostmaster(running)
  removeCluster(place)
}

function writeSettings(place: Place, options: StartPostgresOptions): void {
  const { maxConnections = 100, durable = true } = options
  const quote = (text: string) => `'${text.replaceAll("'", "''")}'`
  const settings: Record<string, string> = {
    listen_addresses: quote(''),
    port: '5432',
    unix_socket_directories: quote(place.sockets),
    unix_socket_permissions: '0700',
    max_connections: String(maxConnections),
    timezone: quote('UTC'),
    log_timezone: quote('UTC'),
    log_line_prefix: quote('%m [%p] %u@%d '),
    // Memory in /dev/shm is scarce in containers and is left behind by a kill.
    dynamic_shared_memory_type: 'mmap',
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
    ...(durable ? {} : { max_wal_size: quote('4GB'), checkpoint_timeout: quote('1h') }),
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`)
  const file = join(place.data, 'wattle.conf')
  writeFileSync(file, lines.join(''))
  if (place.account) chownSync(file, place.account.uid, place.account.gid)
}

/**
 * The server that runs on this directory and answers. One that is starting or stopping is waited for.
 */
async function findPostmaster(place: Place): Promise<Postmaster | undefined> {
  const deadline = Date.now() + 30_000
  for (;;) {
    const found = readPidFile(place)
    if (!found) return undefined
    if (!isPostmasterOf(place, found)) {
      await removeStaleFiles(place, found)
      return undefined
    }
    sendSignal(found, 'SIGCONT')
    if (await answers(place, found)) return found
    if (Date.now() > deadline) {
      throw new Error(
        `PostgreSQL (process ${found.pid}) runs but does not answer: ${place.logFile}`,
      )
    }
    await wait(50)
  }
}

async function answers(place: Place, postmaster: Postmaster): Promise<boolean> {
  try {
    await query(urlOf(place, postmaster.socketDirectory), 'select 1')
    return true
  } catch {
    return false
  }
}

async function startPostmaster(place: Place): Promise<Postmaster> {
  for (let attempt = 1; ; attempt++) {
    const args = ['start', '--wait', '--timeout=60', `--pgdata=${place.data}`]
    const started = await runProgram(place, 'pg_ctl', [...args, `--log=${place.logFile}`])
    const found = readPidFile(place)
    if (started.code === 0 && found) return found
    // After a kill -9 the old server's children need a moment to notice that it is gone.
    if (attempt === 20) throw new Error(`PostgreSQL does not start; see ${place.logFile}`)
    await wait(250)
  }
}

function serverOf(place: Place, postmaster: Postmaster, adopted: boolean): PostgresServer {
  const { pid, socketDirectory } = postmaster
  const url: PostgresServer['url'] = (database, user, password) =>
    urlOf(place, socketDirectory, database, user, password)
  let watch: Promise<void> | undefined
  return {
    pid,
    version: place.programs.version,
    adopted,
    socketDirectory,
    logFile: place.logFile,
    dataDirectory: place.data,
    url,
    query: (sql, { database, values } = {}) => query(url(database), sql, values),
    isRunning: () => isRunning(postmaster),
    get exited() {
      watch ??= untilGone(postmaster)
      return watch
    },
    stop: () => stopPostmaster(postmaster),
    async destroy() {
      await stopPostmaster(postmaster)
      removeCluster(place)
    },
    kill: (signal = 'SIGKILL') => sendSignal(postmaster, signal),
  }
}

async function stopPostmaster(postmaster: Postmaster): Promise<void> {
  // The mode "fast": it ends sessions instead of waiting for them, and closes down cleanly.
  sendSignal(postmaster, 'SIGINT')
  sendSignal(postmaster, 'SIGCONT')
  const deadline = Date.now() + 30_000
  while (isRunning(postmaster)) {
    if (Date.now() > deadline) sendSignal(postmaster, 'SIGQUIT')
    await wait(10)
  }
  release(`postgres:${postmaster.pid}`)
}

async function untilGone(postmaster: Postmaster): Promise<void> {
  while (isRunning(postmaster)) await wait(500, undefined, { ref: false })
}

function urlOf(
  place: Place,
  socketDirectory: string,
  database = 'postgres',
  user = superuser,
  password = user === superuser ? superuserPassword(place) : '',
): string {
  const account = [user, password].map(encodeURIComponent).join(':')
  return `postgresql://${account}@${encodeURIComponent(socketDirectory)}/${database}`
}

async function query(
  connectionString: string,
  sql: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString, connectionTimeoutMillis: 5000 })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const result = await client.query<Record<string, unknown>>(sql, values)
    return result.rows
  } finally {
    await client.end()
  }
}
