import { checkMigrationCopies } from '@wattle/database'

/** `outbox`: for a service that publishes. `inbox`: for one that consumes. */
export type EventTables = 'outbox' | 'inbox'

/**
 * Looks whether a service's migrations hold copies of these tables (`cp packages/events/migrations/outbox.sql
 * apps/payment/migrations/0004_outbox.sql`).
 *
 * @throws Error that names the missing file and the command that makes it.
 */
export function checkEventMigrations(
  directory: string | URL,
  tables: readonly EventTables[],
): void {
  checkMigrationCopies(
    directory,
    tables.map((name) => new URL(`../migrations/${name}.sql`, import.meta.url)),
  )
}
