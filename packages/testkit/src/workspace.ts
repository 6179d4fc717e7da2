import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findRedisServer, guard, release, type RedisServerProgram } from '@wattle/servers'

const workDir = fileURLToPath(new URL('../../../.wattle', import.meta.url))

let program: Promise<RedisServerProgram> | undefined

/** The Redis server that tests run: the same that `npm start` finds, looked for once per process. */
export function redisProgram(): Promise<RedisServerProgram> {
  program ??= findRedisServer({ workDir, log: (line) => console.error(line) })
  return program
}

export interface Scratch {
  path: string
  remove(): void
}

/** A directory of its own under the system's temporary one, gone at the latest with this process. */
export function scratchDirectory(): Scratch {
  const path = mkdtempSync(join(tmpdir(), 'wattle-test-'))
  guard(`directory:${path}`)
  return {
    path,
    remove() {
      rmSync(path, { recursive: true, force: true, maxRetries: 5 })
      release(`directory:${path}`)
    },
  }
}
