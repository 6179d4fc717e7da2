import { escapeIdentifier, escapeLiteral } from 'pg'

/** The two roles of a service and the password of both: this server lives as long as a test run. */
export function rolesOf(service: string): { owner: string; runtime: string; password: string } {
  if (!/^[a-z][a-z0-9_]{0,30}$/.test(service)) {
    throw new Error(`${JSON.stringify(service)} cannot name a database role`)
  }
  return { owner: `${service}_owner`, runtime: service, password: 'only-for-tests' }
}

/** Makes the roles unless they exist; safe when several processes do it at once. */
export function withRoles(service: string): string {
  const { owner, runtime, password } = rolesOf(service)
  const role = (name: string) => `
    if not exists (select from pg_roles where rolname = ${escapeLiteral(name)}) then
      create role ${escapeIdentifier(name)} login password ${escapeLiteral(password)};
    end if;`
  return `do $roles$ begin
    perform pg_advisory_xact_lock(hashtext('wattle test roles'));
    ${role(owner)} ${role(runtime)}
  end $roles$`
}

/** Who may connect. Belongs to the database, and is not copied from a template. */
export function grantsOfDatabase(service: string, database: string): string {
  const { owner, runtime } = rolesOf(service)
  const name = escapeIdentifier(database)
  return `
    revoke all on database ${name} from public;
    grant all on database ${name} to ${escapeIdentifier(owner)};
    grant connect on database ${name} to ${escapeIdentifier(runtime)}`
}

/** Run inside the database. Copied along with a template. */
export function grantsOfSchema(service: string): string {
  const { owner, runtime } = rolesOf(service)
  const [ownerId, runtimeId] = [escapeIdentifier(owner), escapeIdentifier(runtime)]
  return `
    revoke all on schema public from public;
    grant all on schema public to ${ownerId};
    grant usage on schema public to ${runtimeId};
    alter default privileges for role ${ownerId} in schema public
      grant select, insert, update, delete on tables to ${runtimeId};
    alter default privileges for role ${ownerId} in schema public
      grant usage, select on sequences to ${runtimeId}`
}
