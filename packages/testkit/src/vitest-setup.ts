import { acquirePostgres, stopIfUnused } from './shared-postgres.ts'

/**
 * For vitest's `globalSetup`: keeps the shared PostgreSQL for the whole run, so that it starts once,
 * and stops it at the end unless another run uses it.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const { release } = await acquirePostgres()
  return async () => {
    release()
    await stopIfUnused()
  }
}
