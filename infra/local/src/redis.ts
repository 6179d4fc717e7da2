import {
  findRedisServer,
  PortTakenError,
  startRedisTopology,
  stopRecorded,
  type RedisNode,
  type RedisTopology,
} from '@wattle/servers'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Home } from './home.ts'
import { endingWords, keepRunning } from './keep-running.ts'
import { boundLog } from './log-file.ts'
import type { Output } from './output.ts'
import { holderOf } from './port-holder.ts'
import { namedPorts, type Ports } from './ports.ts'
import { Problem } from './problem.ts'
import type { Secrets } from './secrets.ts'
import { environmentName } from './service-environment.ts'

/** Above the sum of the services' budgets, with room for what Redis needs beside them. */
const cacheMemory = '768mb'
const stateMemory = '256mb'

export type Redis = {
  topology: RedisTopology
  /** Such as `7.0.15 (/usr/bin/redis-server)`. */
  version: string
  /** Starts servers again when they end, until the signal aborts. */
  supervise: (signal: AbortSignal) => void
}

/** Finds a Redis, and starts both groups and the Sentinels. Nothing is left running when it throws. */
export async function startRedis(options: {
  home: Home
  ports: Ports
  secrets: Secrets
  output: Output
  signal: AbortSignal
}): Promise<Redis> {
  const { home, ports, secrets, output, signal } = options
  const log = (line: string) => output.say(line)
  const program = await findRedisServer({ workDir: home.programs, log }).catch((error: Error) => {
    throw new Problem(error.message, { cause: error })
  })
  signal.throwIfAborted()
  for (const directory of serverDirectories(home)) boundLog(join(directory, 'server.log'))
  const topology = await startRedisTopology({
    program,
    directory: home.redis,
    environment: environmentName,
    credentials: secrets.redis,
    groups: [
      { name: 'cache', ports: ports.cache, maxMemory: cacheMemory },
      { name: 'state', ports: ports.state, maxMemory: stateMemory },
    ],
    sentinelPorts: ports.sentinels,
    log,
    signal,
  }).catch(async (error: unknown) => {
    throw error instanceof PortTakenError ? await portProblem(error.port, ports) : error
  })
  return {
    topology,
    version: `${program.version} (${program.source})`,
    supervise: (until) => {
      for (const node of topology.servers) void superviseNode(node, topology, output, until)
    },
  }
}

/**
 * Stops Redis servers that an earlier stack left running, the Sentinels first, so that they take it for no failure.
 * Returns how many there were.
 */
export async function stopLeftRedis(home: Home): Promise<number> {
  const directories = serverDirectories(home)
  const isSentinel = (directory: string) => /sentinel-\d+$/.test(directory)
  let stopped = 0
  for (const batch of [
    directories.filter(isSentinel),
    directories.filter((directory) => !isSentinel(directory)),
  ]) {
    const results = await Promise.all(
      batch.map((directory) => stopRecorded(join(directory, 'server.pid.json'))),
    )
    stopped += results.filter((was) => was).length
  }
  return stopped
}

function serverDirectories(home: Home): string[] {
  return existsSync(home.redis) ? readdirSync(home.redis).map((name) => join(home.redis, name)) : []
}

async function superviseNode(
  node: RedisNode,
  topology: RedisTopology,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const kind = node.group === 'sentinel' ? 'Sentinel' : 'Redis'
  await keepRunning({
    name: `${kind} ${node.name} (port ${node.port})`,
    ended: async () => endingWords(await node.exited()),
    start: () => node.start(),
    async back() {
      if (node.group === 'sentinel') return ''
      const master = await topology.master(node.group).catch(() => undefined)
      if (master === undefined) return ''
      return master === node
        ? 'as the master'
        : `as a replica of ${master.name} (port ${master.port})`
    },
    signal,
    output,
  })
}

/** The port was free when it was looked at, and is not any more. */
async function portProblem(port: number, ports: Ports): Promise<Problem> {
  const { name = 'Redis', base } = namedPorts(ports).find((named) => named.port === port) ?? {}
  const holder = await holderOf(port)
  return new Problem(
    `Port ${port} for ${name} is taken${holder ? ` by ${holder}` : ''}: stop that, or set ${base}.`,
  )
}
