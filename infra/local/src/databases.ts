import { migrate, provisionDatabase } from '@wattle/database'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Home } from './home.ts'
import { Problem, wordsFor } from './problem.ts'
import type { Secrets } from './secrets.ts'
import { databaseVariable, ownerDatabaseVariable, type ServiceDefinition } from './service-list.ts'
import { startServiceProcess } from './service-process.ts'

/** Where a service's data are. */
export type ServiceDatabase = {
  /** What the service logs in with. */
  url: string
  /** What migrations log in with. */
  ownerUrl: string
  /** Given by DATABASE_URL_<SERVICE>: nothing in it is ours. */
  external: boolean
}

/** The database given from outside for this service, if there is one. */
export function externalDatabase(
  service: string,
  env: NodeJS.ProcessEnv,
): ServiceDatabase | undefined {
  const url = env[databaseVariable(service)]
  if (!url) return undefined
  const ownerUrl = env[ownerDatabaseVariable(service)] || url
  return { url, ownerUrl, external: true }
}

/** Makes the service's database and roles in the local PostgreSQL, or brings them up to date. */
export async function localDatabase(
  service: string,
  adminUrl: string,
  secrets: Secrets,
): Promise<ServiceDatabase> {
  const passwords = secrets.databases[service]
  if (!passwords) throw new Error(`there are no passwords for ${service}`)
  const urls = await provisionDatabase({ adminUrl, service, ...passwords })
  return { ...urls, external: false }
}

/** Brings a service's database to its last migration. Throws a Problem that names the service and the fault. */
export async function migrateService(
  { name, migrations }: ServiceDefinition,
  database: ServiceDatabase,
): Promise<readonly string[]> {
  if (migrations === undefined) return []
  try {
    const { applied } = await migrate({ url: database.ownerUrl, directory: migrations })
    return applied
  } catch (error) {
    const where = database.external ? ` (${databaseVariable(name)})` : ''
    throw new Problem(`The ${name} database${where} cannot be migrated: ${wordsFor(error)}`, {
      cause: error,
    })
  }
}

/**
 * Runs the service's seed program with the demo people, and notes that it was done. Resolves with the last line it
 * printed. Throws a Problem with what it said when it fails.
 */
export async function seedService(options: {
  definition: ServiceDefinition
  env: NodeJS.ProcessEnv
  home: Home
  peopleFile: string
  signal: AbortSignal
}): Promise<string> {
  const { definition, env, home, peopleFile, signal } = options
  const { name, seed } = definition
  if (seed === undefined) return ''
  const lines: string[] = []
  const child = startServiceProcess({
    args: [seed, peopleFile],
    env,
    recordFile: join(home.run, `${name}-seed.json`),
    onLine: (line) => lines.push(line),
  })
  const end = () => child.kill('SIGTERM')
  signal.addEventListener('abort', end, { once: true })
  const { code } = await child.exited
  signal.removeEventListener('abort', end)
  signal.throwIfAborted()
  if (code !== 0) {
    throw new Problem(`${basename(seed)} of ${name} failed: ${lines.slice(-5).join('\n')}`)
  }
  noteSeeded(home, name)
  return lines.at(-1) ?? ''
}

/** Whether the demo data of this service were written once. The note goes when the data go. */
export function isSeeded(home: Home, service: string): boolean {
  return readSeeded(home).includes(service)
}

function noteSeeded(home: Home, service: string): void {
  writeFileSync(home.seeded, JSON.stringify([...new Set([...readSeeded(home), service])]))
}

function readSeeded(home: Home): string[] {
  if (!existsSync(home.seeded)) return []
  try {
    return JSON.parse(readFileSync(home.seeded, 'utf8')) as string[]
  } catch {
    return []
  }
}
