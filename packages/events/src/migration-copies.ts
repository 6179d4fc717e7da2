import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** `outbox`: for a service that publishes. `inbox`: for one that consumes. */
export type EventTables = 'outbox' | 'inbox'

/**
 * Looks whether a service's migrations hold these tables. They come by copy (`cp packages/events/migrations/outbox.sql
 * apps/payment/migrations/0004_outbox.sql`), because the numbered files of a service are its whole schema; this check,
 * called in a test of the service, keeps a copy from going its own way.
 *
 * @throws Error that names the missing file and the command that makes it.
 */
export function checkEventMigrations(
  directory: string | URL,
  tables: readonly EventTables[],
): void {
  const folder = directory instanceof URL ? fileURLToPath(directory) : directory
  const present = readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .map((name) => readText(join(folder, name)))
  for (const name of tables) {
    const original = fileURLToPath(new URL(`../migrations/${name}.sql`, import.meta.url))
    if (!present.includes(readText(original))) {
      throw new Error(
        `${folder} has no copy of ${name}.sql of @wattle/events; make one: cp ${original} ${join(folder, `NNNN_${name}.sql`)}`,
      )
    }
  }
}

const readText = (path: string) => readFileSync(path, 'utf8').replaceAll('\r\n', '\n')
