import { stopRecorded } from '@wattle/servers'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Home } from './home.ts'
import { stopLeftPostgres } from './postgres.ts'
import { stopLeftRedis } from './redis.ts'

/**
 * Stops the services and Redis servers that an earlier stack of this home left running because it was killed. They are
 * told by process number and start time, so nothing else is touched. Call it holding the lock. Returns words for what
 * was stopped, undefined when there was nothing.
 */
export async function stopLeftServers(home: Home): Promise<string | undefined> {
  const services = await stopLeftServices(home)
  const redis = await stopLeftRedis(home)
  const found = [
    ...(services.length > 0 ? [services.join(', ')] : []),
    ...(redis > 0 ? [`${redis} Redis servers`] : []),
  ]
  return found.length === 0 ? undefined : found.join(' and ')
}

/** The same, PostgreSQL included. */
export async function stopLeftovers(home: Home): Promise<string | undefined> {
  const servers = await stopLeftServers(home)
  const postgres = (await stopLeftPostgres(home)) ? 'PostgreSQL' : undefined
  const found = [servers, postgres].filter((words) => words !== undefined)
  return found.length === 0 ? undefined : found.join(' and ')
}

async function stopLeftServices(home: Home): Promise<string[]> {
  if (!existsSync(home.run)) return []
  const names = readdirSync(home.run)
    .filter((file) => file.endsWith('.json') && file !== 'postgres.json')
    .map((file) => file.slice(0, -'.json'.length))
  const were = await Promise.all(
    names.map((name) => stopRecorded(join(home.run, `${name}.json`), { withinMs: 8_000 })),
  )
  return names.filter((_, index) => were[index])
}
