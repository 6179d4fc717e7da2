import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { RedisServerProgram } from './find-redis.ts'
import { guard, release } from './guardian.ts'
import { PortTakenError } from './ports.ts'
import { ServerStartError, startServerProcess, type ServerProcess } from './server-process.ts'

export interface RedisProcess extends ServerProcess {
  readonly port: number
  readonly directory: string
}

export interface StartRedisOptions {
  program: RedisServerProgram
  /** Its working directory, created when absent: configuration, log, data, pid record. */
  directory: string
  /** The whole configuration as text; must name the same port. Replaces what stood there. */
  config: string
  port: number
  /** Files the configuration refers to, such as an ACL file: name → text. */
  files?: Record<string, string>
  /** Run as a Sentinel. */
  sentinel?: boolean
  /** When true the server is killed when this process ends, however it ends. Default false. */
  dieWithParent?: boolean
  /** Default 15 000. */
  readyWithinMs?: number
}

/**
 * Starts one Redis (or Sentinel) and resolves when it accepts connections and has loaded its data.
 * Throws PortTakenError, or ServerStartError with the last lines of its log.
 */
export async function startRedisServer(options: StartRedisOptions): Promise<RedisProcess> {
  const { program, directory, port, sentinel = false } = options
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const configFile = join(directory, sentinel ? 'sentinel.conf' : 'redis.conf')
  const files = { ...options.files, [sentinel ? 'sentinel.conf' : 'redis.conf']: options.config }
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, name), text, { mode: 0o600 })
  }
  const serverArgs = sentinel ? [configFile, '--sentinel'] : [configFile]
  const container = program.image === undefined ? undefined : `wattle-redis-${randomUUID()}`
  const args =
    container === undefined
      ? [...program.args, ...serverArgs]
      : [...dockerRun(container, directory), ...program.args, program.image ?? '', ...serverArgs]
  if (container !== undefined && options.dieWithParent) guard(`container:${container}`)
  try {
    const server = await startServerProcess({
      command: program.command,
      args,
      env: program.env,
      directory,
      dieWithParent: options.dieWithParent ?? false,
      readyWhen: sentinel ? /Sentinel ID is / : /Ready to accept connections/,
      ...(options.readyWithinMs === undefined ? {} : { readyWithinMs: options.readyWithinMs }),
      ...(container === undefined
        ? {}
        : { sendSignal: (signal: NodeJS.Signals) => signalContainer(container, signal) }),
    })
    if (container !== undefined && options.dieWithParent) {
      void server.exited.then(() => release(`container:${container}`))
    }
    return { ...server, port, directory }
  } catch (error) {
    if (container !== undefined) release(`container:${container}`)
    if (error instanceof ServerStartError && /Address already in use/.test(error.log)) {
      throw new PortTakenError(port, { cause: error })
    }
    throw error
  }
}

/**
 * The host's network, because Sentinels and replicas tell clients the addresses they see; the same
 * path inside as outside, because the configuration names files.
 */
function dockerRun(name: string, directory: string): string[] {
  const user = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`
  const mount = `type=bind,source=${directory},target=${directory}`
  const flags = ['--rm', '--name', name, '--network', 'host', '--user', user, '--mount', mount]
  return ['run', ...flags, '--workdir', directory, '--entrypoint', 'redis-server']
}

/** The process here is only Docker's client: it passes on TERM, but nothing passes on KILL or STOP. */
function signalContainer(name: string, signal: NodeJS.Signals): boolean {
  return spawnSync('docker', ['kill', '--signal', signal, name], { stdio: 'ignore' }).status === 0
}
