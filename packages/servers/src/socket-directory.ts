import { chmodSync, chownSync, lstatSync, mkdirSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Account } from './unprivileged.ts'

/** Length of the longest socket path: 108 bytes with the closing zero on Linux, 104 on macOS. */
const longestPath = process.platform === 'darwin' ? 103 : 107

const socketName = '/.s.PGSQL.5432.lock'

/**
 * The directory for a server's Unix socket, private to the account: the wanted one, or a short one
 * under the temporary directory when the path would be too long for a socket.
 */
export function socketDirectoryFor(wanted: string, account: Account | undefined): string {
  const name = createHash('sha256').update(resolve(wanted)).digest('hex').slice(0, 12)
  const fits = Buffer.byteLength(wanted + socketName) <= longestPath
  const short = join(tmpdir(), `wattle-${name}`)
  const directory = fits
    ? wanted
    : Buffer.byteLength(short + socketName) <= longestPath
      ? short
      : join('/tmp', `wattle-${name}`)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const stat = lstatSync(directory)
  const owners = [process.getuid?.(), account?.uid]
  // In a public directory somebody else may have been there first.
  if (!stat.isDirectory() || !owners.includes(stat.uid)) {
    throw new Error(`${directory} belongs to somebody else; remove it`)
  }
  chmodSync(directory, 0o700)
  if (account) chownSync(directory, account.uid, account.gid)
  return directory
}
