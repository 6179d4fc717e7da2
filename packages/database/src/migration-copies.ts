import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Looks whether a service's migrations hold these files of other packages, word for word. They come by copy, because the
 * numbered files of a service are its whole schema; this check, called in a test of the service, keeps a copy from
 * going its own way.
 *
 * @throws Error that names the missing file and the command that makes it.
 */
export function checkMigrationCopies(directory: string | URL, originals: readonly URL[]): void {
  const folder = directory instanceof URL ? fileURLToPath(directory) : directory
  const present = readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .map((name) => readText(join(folder, name)))
  for (const url of originals) {
    const original = fileURLToPath(url)
    if (present.includes(readText(original))) continue
    const name = basename(original)
    throw new Error(
      `${folder} has no copy of ${name}; make one: cp ${original} ${join(folder, `NNNN_${name}`)}`,
    )
  }
}

const readText = (path: string) => readFileSync(path, 'utf8').replaceAll('\r\n', '\n')
