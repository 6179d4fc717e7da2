import { Client, DatabaseError } from 'pg'
import type { DatabaseLog } from './database.ts'
import { sqlState } from './errors.ts'
import { MigrationError, readMigrations, type MigrationFile } from './migration-files.ts'

export type MigrateOptions = {
  /** Credentials of the owner role; a direct connection, not a pooler's in transaction mode. */
  url: string
  directory: string
  log?: DatabaseLog
  /** Longest wait for another process that is migrating. Default 60,000. */
  waitMs?: number
  /** Longest wait of one statement for a lock, so that a migration never queues up the traffic behind it. Default 10,000. */
  lockTimeoutMs?: number
}

export type MigrateResult = { applied: string[]; total: number }

/** One lock for the whole of a database; the number is arbitrary and only has to stay the same. */
const advisoryLock = '4903126801122561'

/**
 * Brings the database to the last migration of the directory. Files are applied in order, each in a transaction
 * together with the note that it was applied, under an advisory lock: of two processes that migrate at once, one
 * waits and then finds nothing to do. A database that is ahead of the directory is left as it is, so that an older
 * release can be deployed again.
 *
 * @throws MigrationError when a file that was applied has been edited since, when names or numbers do not fit, or when
 * a statement fails; it names file, line and column, and nothing of that file has been done.
 */
export async function migrate(options: MigrateOptions): Promise<MigrateResult> {
  const { url, directory, log, waitMs = 60_000, lockTimeoutMs = 10_000 } = options
  const files = await readMigrations(directory)
  const client = new Client({
    connectionString: url,
    application_name: 'migrate',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  })
  client.on('error', () => {}) // the statement that was running reports the same
  await client.connect().catch((error: unknown) => {
    throw new MigrationError(`cannot connect to the database: ${message(error)}`, { cause: error })
  })
  try {
    await lock(client, waitMs)
    await client.query(`set lock_timeout = ${Math.round(lockTimeoutMs)}`)
    const applied = await appliedMigrations(client)
    refuseEdited(files, applied)
    const pending = files.filter((file) => !applied.has(file.number))
    for (const file of pending) {
      const startedAt = performance.now()
      await apply(client, file)
      const durationMs = Math.round(performance.now() - startedAt)
      log?.info({ migration: file.name, durationMs }, 'migration applied')
    }
    if (applied.size > files.length) {
      const ahead = applied.size - files.length
      log?.warn({ ahead }, 'the database has later migrations than this directory')
    }
    return { applied: pending.map((file) => file.name), total: files.length }
  } finally {
    await client.end() // the lock ends with the session
  }
}

async function lock(client: Client, waitMs: number): Promise<void> {
  await client.query(`set lock_timeout = ${Math.round(waitMs)}`)
  try {
    await client.query(`select pg_advisory_lock(${advisoryLock})`)
  } catch (error) {
    if (sqlState(error) !== '55P03') throw error
    throw new MigrationError(`another process has been migrating this database for ${waitMs} ms`, {
      cause: error,
    })
  }
}

/** Checksums by number. The table has its own schema, in which the service's role has no rights. */
async function appliedMigrations(client: Client): Promise<Map<number, AppliedMigration>> {
  await client.query(`
    create schema if not exists migrations;
    create table if not exists migrations.applied (
      number int primary key,
      name text not null,
      checksum text not null,
      applied_at timestamptz not null default now()
    )`)
  const { rows } = await client.query<AppliedMigration>(
    'select number, name, checksum from migrations.applied',
  )
  return new Map(rows.map((row) => [row.number, row]))
}

type AppliedMigration = { number: number; name: string; checksum: string }

function refuseEdited(files: MigrationFile[], applied: Map<number, AppliedMigration>): void {
  for (const file of files) {
    const known = applied.get(file.number)
    if (known && known.checksum !== file.checksum) {
      throw new MigrationError(
        `${file.name} is not what was applied as ${known.name}: an applied migration is never edited; ` +
          'restore it and put the change into a new file',
      )
    }
  }
}

async function apply(client: Client, file: MigrationFile): Promise<void> {
  let place = file.name
  await client.query('begin')
  try {
    await client.query(file.sql).catch((error: unknown) => {
      place += position(file.sql, error)
      throw error
    })
    await client.query(
      'insert into migrations.applied (number, name, checksum) values ($1, $2, $3)',
      [file.number, file.name, file.checksum],
    )
    await client.query('commit')
  } catch (error) {
    // On a lost connection the server rolls back by itself.
    await client.query('rollback').catch(() => {})
    throw new MigrationError(`${place}: ${message(error)}; nothing of this file was applied`, {
      cause: error,
    })
  }
}

/** `:line:column` of what PostgreSQL complains about, which counts characters from 1. */
function position(sql: string, error: unknown): string {
  const at = error instanceof DatabaseError ? Number(error.position ?? Number.NaN) : Number.NaN
  if (Number.isNaN(at)) return ''
  const before = Array.from(sql)
    .slice(0, at - 1)
    .join('')
  const lines = before.split('\n')
  return `:${lines.length}:${(lines.at(-1)?.length ?? 0) + 1}`
}

function message(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(message).join('; ')
  if (!(error instanceof Error)) return String(error)
  const state = sqlState(error)
  const detail = error instanceof DatabaseError && error.detail ? ` (${error.detail})` : ''
  return `${error.message}${detail}${state ? ` [${state}]` : ''}`
}
