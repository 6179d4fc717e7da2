import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as wait } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { findRedisServer, guard, release, type RedisCredentials } from '@wattle/servers'

export const workDir = fileURLToPath(new URL('../../../.wattle', import.meta.url))

export const findProgram = () => findRedisServer({ workDir, log: (line) => console.error(line) })

/** A directory that is removed when the test ends, however it ends. */
export function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'wattle-servers-'))
  guard(`directory:${path}`)
  onTestFinished(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 5 })
    release(`directory:${path}`)
  })
  return path
}

/** Waits until the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs = 10_000) {
  const deadline = Date.now() + withinMs
  while (!(await condition())) {
    if (Date.now() > deadline)
      throw new Error(`not so within ${withinMs} ms: ${condition.toString()}`)
    await wait(20)
  }
}

export const credentials: RedisCredentials = {
  replication: 'replication-password',
  sentinel: 'sentinel-password',
  discovery: 'discovery-password',
  admin: 'admin-password',
  services: { billing: 'billing-password', user: 'user-password' },
}
