import { readFileSync } from 'node:fs'
import { renderTemplate, sha256 } from './template.ts'

/** Passwords in clear. They belong in a file or the environment, never in a log. */
export interface RedisCredentials {
  /** Replicas at their master, user `replication`. */
  replication: string
  /** Sentinels at the nodes and at one another, user `sentinel`. */
  sentinel: string
  /** Services at the Sentinels, user `discovery`. */
  discovery: string
  /** The operator, user `admin`, everywhere. */
  admin: string
  /** Service name → its password; the user has the service's name. */
  services: Readonly<Record<string, string>>
}

/** A right of one service outside its own namespace: a line of `infra/redis/shared-grants.json`. */
export interface SharedGrant {
  service: string
  group: RedisGroupKind
  /** ACL rules; `{environment}` stands for the environment's name. */
  rules: string
  /** For the reader. */
  why: string
}

export type RedisGroupKind = 'cache' | 'state'

export interface RenderUsersOptions {
  group: RedisGroupKind
  /** First part of every key. */
  environment: string
  credentials: RedisCredentials
  /** Default: the table `infra/redis/shared-grants.json`. */
  grants?: readonly SharedGrant[]
}

/** The ACL file of a Redis: the fixed accounts, and one for each service in `credentials`. */
export function renderUsers(options: RenderUsersOptions): string {
  const { group, environment, credentials, grants = sharedGrants() } = options
  const fixed = renderTemplate('users.acl', {
    REPLICATION_PASSWORD_SHA256: sha256(credentials.replication),
    SENTINEL_PASSWORD_SHA256: sha256(credentials.sentinel),
    ADMIN_PASSWORD_SHA256: sha256(credentials.admin),
  })
  requireName('environment', environment)
  const services = Object.entries(credentials.services).map(([service, password]) => {
    requireName('service', service)
    return renderTemplate('service.acl', {
      SERVICE: service,
      SERVICE_PASSWORD_SHA256: sha256(password),
      ENVIRONMENT: environment,
      // The cache invalidates by pattern with SCAN. Names of cached keys hold nothing personal, so
      // that others see them is the accepted price. Session and revocation keys stay unlisted.
      SCAN: group === 'cache' ? '+scan' : '-scan',
      SHARED_GRANTS: grants
        .filter((grant) => grant.service === service && grant.group === group)
        .map((grant) => grant.rules.replaceAll('{environment}', environment))
        .join(' '),
    })
  })
  return [fixed, ...services].join('')
}

/** The ACL file of a Sentinel. */
export function renderSentinelUsers(credentials: RedisCredentials): string {
  return renderTemplate('sentinel-users.acl', {
    SENTINEL_PASSWORD_SHA256: sha256(credentials.sentinel),
    DISCOVERY_PASSWORD_SHA256: sha256(credentials.discovery),
    ADMIN_PASSWORD_SHA256: sha256(credentials.admin),
  })
}

/** The written table of rights that reach beyond a service's own namespace. */
export function sharedGrants(): SharedGrant[] {
  const file = new URL('../../../infra/redis/shared-grants.json', import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8')) as SharedGrant[]
}

/** Names become ACL patterns: a star or a blank in one would grant more than was meant. */
function requireName(what: string, name: string): void {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new Error(`${what} name ${JSON.stringify(name)}`)
}
