import { existsSync, lstatSync, mkdirSync, statSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { run } from './run.ts'

/** A system account to run a server as. */
export interface Account {
  uid: number
  gid: number
}

/**
 * PostgreSQL refuses to run as root. For root: the account that owns the data already, else
 * `postgres`, else `nobody`. For anybody else undefined: themselves.
 */
export async function unprivilegedAccount(directory: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const owner = existsSync(directory) ? lstatSync(directory) : undefined
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])])
    if (uid.code === 0 && gid.code === 0)
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  }
  return { uid: 65_534, gid: 65_534 }
}

/** Whether the account may pass through every directory above this path. */
export function isReachable(path: string, account: Account): boolean {
  for (let above = dirname(resolve(path)); ; above = dirname(above)) {
    const stat = statSync(above, { throwIfNoEntry: false })
    if (stat && !mayEnter(stat, account)) return false
    if (above === dirname(above)) return true
  }
}

function mayEnter(stat: { mode: number; uid: number; gid: number }, account: Account): boolean {
  if (stat.uid === account.uid) return (stat.mode & 0o100) !== 0
  if (stat.gid === account.gid) return (stat.mode & 0o010) !== 0
  return (stat.mode & 0o001) !== 0
}

/**
 * A directory that stands in for one the account cannot reach, such as one under /root: always the
 * same for the same path, in a place that survives a reboot where there is one.
 */
export function reachableTwin(path: string, account: Account): string {
  const base = isReachable('/var/tmp/x', account) ? '/var/tmp' : tmpdir()
  const name = createHash('sha256').update(resolve(path)).digest('hex').slice(0, 12)
  const twin = join(base, `wattle-${name}`)
  mkdirSync(twin, { recursive: true, mode: 0o755 })
  const stat = lstatSync(twin)
  // Anybody may make a directory there: one that is not ours must not get our data.
  if (!stat.isDirectory() || stat.uid !== process.getuid?.()) {
    throw new Error(`${twin} belongs to somebody else; remove it`)
  }
  return twin
}
