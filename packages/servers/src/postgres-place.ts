import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { realpathSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { findPostgres, type PostgresPrograms } from './find-postgres.ts'
import { run, type RunResult } from './run.ts'
import { socketDirectoryFor } from './socket-directory.ts'
import { isReachable, reachableTwin, unprivilegedAccount, type Account } from './unprivileged.ts'

/** Where a cluster lives, and as whom it runs. */
export interface Place {
  programs: PostgresPrograms
  account: Account | undefined
  /** Ours: holds the superuser's password. */
  home: string
  /** Whether it stands in for a directory that the account cannot reach. */
  isTwin: boolean
  /** The account's: PostgreSQL's data directory. */
  data: string
  sockets: string
  logFile: string
}

export const superuser = 'postgres'

/** Chooses an account, and places and programs that it can reach; makes the directories. */
export async function choosePlace(
  directory: string,
  wanted: PostgresPrograms | undefined,
  log: (line: string) => void,
): Promise<Place> {
  mkdirSync(directory, { recursive: true })
  // Running servers are recognised by the real path of their data.
  let home = realpathSync(directory)
  const account = await unprivilegedAccount(join(home, 'data'))
  if (account && !isReachable(join(home, 'data'), account)) {
    home = reachableTwin(home, account)
    log(`PostgreSQL's account cannot reach ${directory}: its data are in ${home}`)
  }
  const data = join(home, 'data')
  const programs = reachablePrograms(wanted ?? (await programsFor(data)), home, account)
  const sockets = socketDirectoryFor(join(home, 'sockets'), account)
  const isTwin = home !== realpathSync(directory)
  return { programs, account, home, isTwin, data, sockets, logFile: join(data, 'server.log') }
}

/** Data can only be read by the major version that made them. */
async function programsFor(data: string): Promise<PostgresPrograms> {
  const file = join(data, 'PG_VERSION')
  if (!existsSync(file)) return findPostgres()
  return findPostgres({ major: Number(readFileSync(file, 'utf8')) })
}

/** Programs under a home directory that the account cannot enter are copied to where it can. */
function reachablePrograms(
  programs: PostgresPrograms,
  home: string,
  account: Account | undefined,
): PostgresPrograms {
  const { relocatable, version, bin } = programs
  if (!account || relocatable === undefined || isReachable(bin, account)) return programs
  const copy = join(home, `programs-${version}`)
  if (!existsSync(copy)) {
    rmSync(`${copy}.new`, { recursive: true, force: true })
    cpSync(relocatable, `${copy}.new`, { recursive: true, verbatimSymlinks: true })
    renameSync(`${copy}.new`, copy)
  }
  return { ...programs, bin: join(copy, 'bin'), relocatable: copy }
}

/** Runs one of PostgreSQL's programs as the account. */
export function runProgram(place: Place, program: string, args: string[]): Promise<RunResult> {
  return run(join(place.programs.bin, program), args, {
    cwd: place.sockets,
    env: { PATH: process.env['PATH'], HOME: place.sockets, LC_ALL: 'C', TZ: 'UTC' },
    timeoutMs: 120_000,
    ...place.account,
  })
}

/** Makes the cluster unless it is there. A start that is interrupted half-way leaves none. */
export async function ensureCluster(place: Place, log: (line: string) => void): Promise<void> {
  if (existsSync(join(place.data, 'PG_VERSION'))) return
  log(`Making a PostgreSQL ${place.programs.version} cluster …`)
  const password = randomBytes(18).toString('base64url')
  const fresh = `${place.data}.new`
  const handed = join(place.sockets, 'new-password')
  rmSync(fresh, { recursive: true, force: true })
  mkdirSync(fresh, { mode: 0o700 })
  writeFileSync(handed, password, { mode: 0o600 })
  if (place.account) {
    for (const path of [fresh, handed]) chownSync(path, place.account.uid, place.account.gid)
  }
  const made = await runProgram(place, 'initdb', [
    `--pgdata=${fresh}`,
    `--username=${superuser}`,
    `--pwfile=${handed}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ])
  rmSync(handed, { force: true })
  if (made.code !== 0) throw new Error(`initdb failed:\n${made.stderr.trim() || made.stdout}`)
  const config = join(fresh, 'postgresql.conf')
  writeFileSync(config, `${readFileSync(config, 'utf8')}\ninclude 'wattle.conf'\n`)
  writeFileSync(passwordFile(place), password, { mode: 0o600 })
  rmSync(place.data, { recursive: true, force: true })
  renameSync(fresh, place.data)
}

/** Deletes the cluster and all that belongs to it. It must not be running. */
export function removeCluster(place: Place): void {
  for (const path of [place.data, place.sockets, passwordFile(place)]) {
    rmSync(path, { recursive: true, force: true })
  }
  if (place.isTwin) rmSync(place.home, { recursive: true, force: true })
}

function passwordFile(place: Place): string {
  return join(place.home, 'superuser-password')
}

export function superuserPassword(place: Place): string {
  return readFileSync(passwordFile(place), 'utf8')
}
