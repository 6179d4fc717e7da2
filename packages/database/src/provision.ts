import { Client, escapeLiteral } from 'pg'
import { changeUrl } from './url.ts'

export type ProvisionOptions = {
  /** A role that may create roles and databases, connected to a database that all callers share (`postgres`). */
  adminUrl: string
  /** Name of the runtime role; `<service>_owner` is the other. Lower-case letters, digits and `_`. */
  service: string
  /** Name of the database; the service's name where it is not said. */
  database?: string
  password: string
  ownerPassword: string
}

/**
 * Makes the database of a service and its two roles, or brings them up to date; safe to run again, and by several at
 * once.
 *
 * - `<service>_owner` owns the database and everything its migrations create.
 * - `<service>` is what the service logs in as: SELECT, INSERT, UPDATE and DELETE on the owner's tables in schema
 *   `public`, those of today and of later migrations, and no DDL. A migration can take away more
 *   (`revoke update, delete on ledger from billing`), and running this again does not give it back.
 *
 * Others cannot connect. Returns the URLs of both roles.
 */
export async function provisionDatabase(
  options: ProvisionOptions,
): Promise<{ url: string; ownerUrl: string }> {
  const { adminUrl, service, database = service, password, ownerPassword } = options
  const owner = `${service}_owner`
  for (const name of [owner, service, database]) {
    if (!/^[a-z][a-z0-9_]{0,62}$/.test(name)) {
      throw new Error(`"${name}" cannot be the name of a role or database`)
    }
  }

  await withClient(adminUrl, async (client) => {
    // Roles and databases know no "if not exists"; the lock makes looking and creating one step.
    await client.query('select pg_advisory_lock(4903126801122562)')
    await ensureRole(client, owner, ownerPassword)
    await ensureRole(client, service, password)
    await client.query(ownerForPlainAdmin(owner))
    const known = await client.query('select from pg_database where datname = $1', [database])
    if (known.rowCount === 0) {
      await client.query(
        `create database "${database}" owner "${owner}" template template0 encoding 'UTF8'`,
      )
    }
    await client.query(`
      revoke all on database "${database}" from public;
      grant connect on database "${database}" to "${service}"`)
  })
  await withClient(changeUrl(adminUrl, { database }), (client) =>
    client.query(schemaGrants(owner, service)),
  )

  return {
    url: changeUrl(adminUrl, { user: service, password, database }),
    ownerUrl: changeUrl(adminUrl, { user: owner, password: ownerPassword, database }),
  }
}

async function ensureRole(client: Client, role: string, password: string): Promise<void> {
  const known = await client.query('select from pg_roles where rolname = $1', [role])
  const verb = known.rowCount === 0 ? 'create' : 'alter'
  await client.query(`${verb} role "${role}" login password ${escapeLiteral(password)}`)
}

/** Where the administrator is no superuser (managed PostgreSQL), it must be a member to act for the owner. */
function ownerForPlainAdmin(owner: string): string {
  return `
    do $$ begin
      if not (select rolsuper from pg_roles where rolname = current_user) then
        execute format('grant %I to current_user', '${owner}');
      end if;
    end $$`
}

function schemaGrants(owner: string, service: string): string {
  return `
    revoke all on schema public from public;
    grant all on schema public to "${owner}";
    grant usage on schema public to "${service}";
    alter default privileges for role "${owner}" in schema public
      grant select, insert, update, delete on tables to "${service}";
    alter default privileges for role "${owner}" in schema public
      grant usage, select on sequences to "${service}"`
}

async function withClient(url: string, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({
    connectionString: url,
    application_name: 'provision',
    connectionTimeoutMillis: 10_000,
  })
  client.on('error', () => {}) // the statement that was running reports the same
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
