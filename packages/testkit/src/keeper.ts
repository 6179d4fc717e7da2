/** The process that stops the shared PostgreSQL when nobody uses it any more. */
import { existsSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { home, inUse, keeperOnDuty, stopIfUnused } from './shared-postgres.ts'

/** Long enough for the next test file's process to come. */
const lingerMs = 5000

let unusedSince: number | undefined
while (existsSync(home)) {
  // A run may end and the next one begin between two looks, and that has a keeper of its own.
  if ((keeperOnDuty() ?? process.pid) !== process.pid) break
  if (inUse()) unusedSince = undefined
  else unusedSince ??= Date.now()
  if (unusedSince !== undefined && Date.now() - unusedSince >= lingerMs) {
    if (await stopIfUnused()) break
  }
  await wait(1000)
}
