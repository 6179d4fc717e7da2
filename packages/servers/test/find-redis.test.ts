import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findRedisServer } from '@wattle/servers'
import { findProgram, temporary, workDir } from './support.ts'

function script(directory: string, name: string, body: string): string {
  mkdirSync(directory, { recursive: true })
  const file = join(directory, name)
  writeFileSync(file, `#!/bin/sh\n${body}\n`)
  chmodSync(file, 0o755)
  return file
}

/** A launcher of the Redis that this machine has, wherever that is. */
async function launcher(directory: string, name: string): Promise<string> {
  const { command, args, env } = await findProgram()
  const settings = Object.entries(env).map(([key, value]) => `${key}='${value}'`)
  return script(directory, name, `${settings.join(' ')} exec '${command}' ${args.join(' ')} "$@"`)
}

const systemPath = '/usr/bin:/bin'

describe('the search for a Redis server', () => {
  it('takes the one that WATTLE_REDIS_SERVER names', async () => {
    const command = await launcher(temporary(), 'my-redis')
    const found = await findRedisServer({ workDir, env: { WATTLE_REDIS_SERVER: command } })
    expect(found).toMatchObject({ command, source: 'WATTLE_REDIS_SERVER' })
    expect(found.version).toMatch(/^\d+\.\d+/)
  })

  it('does not silently take another when WATTLE_REDIS_SERVER names a wrong one', async () => {
    const env = { WATTLE_REDIS_SERVER: '/bin/true' }
    await expect(findRedisServer({ workDir, env })).rejects.toThrow(
      'WATTLE_REDIS_SERVER=/bin/true: does not answer --version as a Redis server does',
    )
  })

  it.each(['redis-server', 'valkey-server'])('finds %s on the PATH', async (name) => {
    const bin = temporary()
    const command = await launcher(bin, name)
    const env = { PATH: `${bin}:${systemPath}` }
    expect(await findRedisServer({ workDir, env, sources: ['path'] })).toMatchObject({ command })
  })

  it('passes over a version that is too old', async () => {
    const bin = temporary()
    script(bin, 'redis-server', 'echo "Redis server v=6.0.16 sha=00000000:0 bits=64"')
    const command = await launcher(bin, 'valkey-server')
    const env = { PATH: `${bin}:${systemPath}` }
    expect(await findRedisServer({ workDir, env, sources: ['path'] })).toMatchObject({ command })
  })

  it('names the three ways, and why each failed, when there is none', async () => {
    const bin = temporary()
    script(bin, 'redis-server', 'echo "Redis server v=6.0.16 sha=00000000:0 bits=64"')
    const missing = findRedisServer({ workDir: temporary(), env: { PATH: bin } })
    await expect(missing).rejects.toThrow(/install one.*WATTLE_REDIS_SERVER.*Docker/s)
    await expect(missing).rejects.toThrow('version 6.0.16 is too old')
  })
})
