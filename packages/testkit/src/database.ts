import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client, escapeIdentifier, escapeLiteral } from 'pg'
import { grantsOfDatabase, grantsOfSchema, rolesOf, withRoles } from './database-roles.ts'
import { acquirePostgres, type SharedPostgres } from './shared-postgres.ts'

/** Where databases can be made: URLs of a server, the superuser's without arguments. */
export interface DatabaseHost {
  url(database?: string, user?: string, password?: string): string
}

/** `migrate` of `@wattle/database`, or anything like it. */
export type Migrate = (options: { url: string; directory: string }) => Promise<unknown>

export interface StartTestDatabaseOptions {
  /** Names the roles `<service>_owner` and `<service>`. Default `test`. */
  service?: string
  /** Directory of the migrations that every such database has; needs `migrate`. */
  migrations?: string
  migrate?: Migrate
}

export interface TestDatabase {
  readonly name: string
  /** As the running service: may read and write rows. */
  readonly url: string
  /** As the owner: may change tables. */
  readonly ownerUrl: string
  /** As superuser. */
  readonly adminUrl: string
  /** Runs SQL as the owner; returns the rows of the last statement. */
  query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>
  /** Ends the connections of others to this database, as a restart of the server would. */
  disconnectAll(): Promise<void>
  /** From now on nobody new can connect, and who is connected is thrown out; `allow` ends it. */
  refuse(): Promise<void>
  allow(): Promise<void>
  drop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

let shared: Promise<SharedPostgres> | undefined

/**
 * A database of its own on a real PostgreSQL that all test files share, with the migrations applied:
 * they run once for all, into a template of which each database is a copy.
 */
export async function startDatabase(options: StartTestDatabaseOptions = {}): Promise<TestDatabase> {
  shared ??= acquirePostgres()
  const { server } = await shared
  return makeDatabase(server, options)
}

/** The same on a given server. */
export async function makeDatabase(
  server: DatabaseHost,
  options: StartTestDatabaseOptions,
): Promise<TestDatabase> {
  const { service = 'test' } = options
  const admin = (sql: string, values?: unknown[]) => run(server.url(), sql, values)
  const roles = rolesOf(service)
  await admin(withRoles(service))
  const template = await ensureTemplate(options, service, server)

  const name = `${service}_${randomBytes(6).toString('hex')}`
  await admin(
    `create database ${escapeIdentifier(name)} template ${escapeIdentifier(template)}
       owner ${escapeIdentifier(roles.owner)}`,
  )
  await admin(grantsOfDatabase(service, name))
  const ownerUrl = server.url(name, roles.owner, roles.password)
  const id = escapeIdentifier(name)
  const disconnectAll = async () => {
    await admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = $1`, [name])
  }
  const drop = async () => void (await admin(`drop database if exists ${id} with (force)`))
  return {
    name,
    url: server.url(name, roles.runtime, roles.password),
    ownerUrl,
    adminUrl: server.url(name),
    query: (sql, values) => run(ownerUrl, sql, values),
    disconnectAll,
    async refuse() {
      await admin(`alter database ${id} allow_connections false`)
      await disconnectAll()
    },
    allow: async () => void (await admin(`alter database ${id} allow_connections true`)),
    drop,
    [Symbol.asyncDispose]: drop,
  }
}

/** The name of the template for these migrations; makes it when it is not there yet. */
async function ensureTemplate(
  options: StartTestDatabaseOptions,
  service: string,
  server: DatabaseHost,
): Promise<string> {
  const { migrations, migrate } = options
  if ((migrations === undefined) !== (migrate === undefined)) {
    throw new Error('startDatabase needs both `migrations` and `migrate`, or neither')
  }
  const name = `template_${service}_${hashOf(migrations)}`
  const client = new Client({ connectionString: server.url() })
  client.on('error', () => undefined)
  await client.connect()
  try {
    // Held until this connection ends; the others wait, and find the template made.
    await client.query('select pg_advisory_lock(hashtext($1))', [name])
    const known = await client.query('select from pg_database where datname = $1', [name])
    if (known.rowCount === 1) return name
    const roles = rolesOf(service)
    const draft = `${name}_draft`
    await client.query(`drop database if exists ${escapeIdentifier(draft)} with (force)`)
    await client.query(
      `create database ${escapeIdentifier(draft)} owner ${escapeIdentifier(roles.owner)}`,
    )
    await run(server.url(draft), grantsOfSchema(service))
    if (migrations !== undefined && migrate) {
      const url = server.url(draft, roles.owner, roles.password)
      await migrate({ url, directory: migrations })
    }
    // Nobody may be connected to a template while it is copied.
    await client.query(`alter database ${escapeIdentifier(draft)} allow_connections false`)
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = ${escapeLiteral(draft)}`,
    )
    await client.query(
      `alter database ${escapeIdentifier(draft)} rename to ${escapeIdentifier(name)}`,
    )
    return name
  } finally {
    await client.end()
  }
}

/** Changes with any file of the directory. */
function hashOf(directory: string | undefined): string {
  if (directory === undefined) return 'empty'
  const hash = createHash('sha256')
  for (const file of readdirSync(directory).toSorted()) {
    if (file.endsWith('.sql')) hash.update(file).update(readFileSync(join(directory, file)))
  }
  return hash.digest('hex').slice(0, 16)
}

async function run(
  connectionString: string,
  sql: string,
  values?: unknown[],
): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const result = await client.query<Record<string, unknown>>(sql, values)
    const last = Array.isArray(result) ? (result.at(-1) as typeof result | undefined) : result
    return last?.rows ?? []
  } finally {
    await client.end()
  }
}
