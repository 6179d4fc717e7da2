import { services, type ServiceName } from '@wattle/contracts'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './home.ts'

/** A service of the table in contracts, and what its folder says that it needs. */
export type ServiceDefinition = {
  readonly name: ServiceName
  readonly main: string
  /** Its migrations; undefined when it has no database. */
  readonly migrations: string | undefined
  /** Its program that writes demo data; undefined when there is none. */
  readonly seed: string | undefined
}

/** All services, in the order of the table. */
export function listServices(): ServiceDefinition[] {
  return (Object.keys(services) as ServiceName[]).map((name) => {
    const at = (...path: string[]) => join(root, 'apps', name, ...path)
    const ifThere = (path: string) => (existsSync(path) ? path : undefined)
    return {
      name,
      main: at('src', 'main.ts'),
      migrations: ifThere(at('migrations')),
      seed: ifThere(at('src', 'seed.ts')),
    }
  })
}

/** `billing` → `DATABASE_URL_BILLING`. */
export function databaseVariable(service: string): string {
  return `DATABASE_URL_${service.toUpperCase()}`
}

/** `billing` → `DATABASE_OWNER_URL_BILLING`: who migrates a database given from outside, where it is another role. */
export function ownerDatabaseVariable(service: string): string {
  return `DATABASE_OWNER_URL_${service.toUpperCase()}`
}
