import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { unpackRedisPackages } from './debian-redis.ts'
import { run } from './run.ts'

/** How to run a Redis server. `args` come before the configuration file. */
export interface RedisServerProgram {
  command: string
  args: string[]
  /** Added to the environment. */
  env: Record<string, string>
  /** Set when the server runs in a container of this image; `command` is then Docker's client. */
  image?: string
  version: string
  /** Where it was found, for people. */
  source: string
}

export type RedisSource = 'configured' | 'path' | 'debian' | 'docker'

export interface FindRedisOptions {
  /** Where a downloaded server is unpacked, e.g. `.wattle`. */
  workDir: string
  /** Gets one line for each step that takes time. */
  log?: (line: string) => void
  env?: NodeJS.ProcessEnv
  /** Which ways are tried, in this order. Default: all. */
  sources?: readonly RedisSource[]
}

/** 7.0 brought read and write permissions of keys, which the ACL of the services uses. */
export const oldestRedis = { major: 7, minor: 0 }

const dockerImage = 'redis:7'

/**
 * Finds a Redis server of version 7.0 or later: `WATTLE_REDIS_SERVER`, `redis-server` or
 * `valkey-server` on the PATH, Debian's or Ubuntu's packages unpacked under `workDir` (needs no root;
 * downloads once, later calls are offline and instant), Docker.
 * Throws one Error that says what was tried and which three ways there are.
 */
export async function findRedisServer(options: FindRedisOptions): Promise<RedisServerProgram> {
  const { workDir, log = () => undefined, env = process.env } = options
  const tried: string[] = []
  const look: Record<RedisSource, () => Promise<RedisServerProgram | undefined>> = {
    async configured() {
      const command = env['WATTLE_REDIS_SERVER']
      if (command === undefined || command === '') return undefined
      const found = await probe({ command, args: [], env: {}, source: 'WATTLE_REDIS_SERVER' })
      // Somebody asked for this one: another in its place would be a surprise.
      if ('problem' in found) throw new Error(`WATTLE_REDIS_SERVER=${command}: ${found.problem}`)
      return found
    },
    async path() {
      for (const name of ['redis-server', 'valkey-server']) {
        const command = findOnPath(name, env['PATH'])
        if (command === undefined) continue
        const found = await probe({ command, args: [], env: {}, source: command })
        if (!('problem' in found)) return found
        tried.push(`${command}: ${found.problem}`)
      }
      return undefined
    },
    async debian() {
      if (process.platform !== 'linux') return undefined
      // What was unpacked on this machine once may not run on what has become of it.
      for (const again of [false, true]) {
        const unpacked = await unpackRedisPackages({ workDir, log, env, again })
        if ('problem' in unpacked) return void tried.push(`packages: ${unpacked.problem}`)
        const found = await probe({ ...unpacked, args: [], source: 'Debian packages' })
        if (!('problem' in found)) return found
        tried.push(`packages: ${found.problem}`)
      }
      return undefined
    },
    async docker() {
      const found = await probeDocker(log, env)
      if (!('problem' in found)) return found
      return void tried.push(`Docker: ${found.problem}`)
    },
  }
  for (const source of options.sources ?? (['configured', 'path', 'debian', 'docker'] as const)) {
    const found = await look[source]()
    if (found) return found
  }
  throw new Error(
    [
      'No Redis server 7.0 or later was found. Do one of these:',
      '  1. install one (apt install redis-server, brew install redis),',
      '  2. set WATTLE_REDIS_SERVER to the path of a redis-server or valkey-server,',
      '  3. start Docker.',
      ...tried.map((line) => `Tried ${line}`),
    ].join('\n'),
  )
}

type Problem = { problem: string }

/** Runs `--version` and judges the answer. */
async function probe(
  program: Omit<RedisServerProgram, 'version'>,
): Promise<RedisServerProgram | Problem> {
  const args = [...program.args, '--version']
  const env = { ...process.env, ...program.env }
  const answer = await run(program.command, args, { env, timeoutMs: 10_000 })
  if (answer.code !== 0) return { problem: lastLine(answer.stderr) ?? `exit code ${answer.code}` }
  return judge(program, answer.stdout)
}

function judge(
  program: Omit<RedisServerProgram, 'version'>,
  answer: string,
): RedisServerProgram | Problem {
  const match = /v=((\d+)\.(\d+)[\w.-]*)/.exec(answer)
  if (!match) return { problem: 'does not answer --version as a Redis server does' }
  const [, version = '', major, minor] = match
  const enough =
    Number(major) > oldestRedis.major ||
    (Number(major) === oldestRedis.major && Number(minor) >= oldestRedis.minor)
  if (!enough) return { problem: `version ${version} is too old, 7.0 or later is needed` }
  return { ...program, version }
}

async function probeDocker(
  log: (line: string) => void,
  env: NodeJS.ProcessEnv,
): Promise<RedisServerProgram | Problem> {
  const docker = (args: string[], timeoutMs: number) => run('docker', args, { env, timeoutMs })
  const engine = await docker(['info', '--format', '{{.OSType}}'], 10_000)
  if (engine.code !== 0) return { problem: lastLine(engine.stderr) ?? 'no engine answers' }
  const known = await docker(['image', 'inspect', dockerImage], 10_000)
  if (known.code !== 0) {
    log(`Pulling the Docker image ${dockerImage} …`)
    const pulled = await docker(['pull', dockerImage], 600_000)
    if (pulled.code !== 0) return { problem: lastLine(pulled.stderr) ?? 'the pull failed' }
  }
  const args = ['run', '--rm', '--entrypoint', 'redis-server', dockerImage, '--version']
  const answer = await docker(args, 30_000)
  if (answer.code !== 0) return { problem: lastLine(answer.stderr) ?? `exit code ${answer.code}` }
  const source = `Docker image ${dockerImage}`
  return judge({ command: 'docker', args: [], env: {}, image: dockerImage, source }, answer.stdout)
}

function lastLine(text: string): string | undefined {
  return text.trim().split('\n').at(-1) || undefined
}

/** The absolute path of a program on a PATH. */
export function findOnPath(name: string, path = ''): string | undefined {
  for (const directory of path.split(delimiter)) {
    try {
      const file = join(directory || '.', name)
      accessSync(file, constants.X_OK)
      return file
    } catch {
      // Not here.
    }
  }
  return undefined
}
