import { services } from '@wattle/contracts'
import { createServer } from 'node:net'
import { holderOf } from './port-holder.ts'
import { Problem } from './problem.ts'

export const loopback = '127.0.0.1'
const groupSize = 3

/** Every port of a stack, by what listens there. */
export type Ports = {
  readonly services: Readonly<Record<string, number>>
  readonly cache: readonly number[]
  readonly state: readonly number[]
  readonly sentinels: readonly number[]
}

const bases = {
  WATTLE_HTTP_PORT_BASE: 3000,
  WATTLE_CACHE_PORT_BASE: 6380,
  WATTLE_STATE_PORT_BASE: 6390,
  WATTLE_SENTINEL_PORT_BASE: 26380,
} as const

/** Reads the port bases from the environment. Throws a Problem that names the wrong variable. */
export function planPorts(env: NodeJS.ProcessEnv): Ports {
  const base = (name: keyof typeof bases) => {
    const text = env[name]
    if (text === undefined || text === '') return bases[name]
    const value = Number(text)
    if (!Number.isInteger(value) || value < 1024 || value > 65_500) {
      throw new Problem(`${name} must be a port from 1024 to 65500, not "${text}".`)
    }
    return value
  }
  const row = (first: number) => Array.from({ length: groupSize }, (_, index) => first + index)
  const http = base('WATTLE_HTTP_PORT_BASE')
  const ports = {
    services: Object.fromEntries(
      Object.entries(services).map(([name, { portOffset }]) => [name, http + portOffset]),
    ),
    cache: row(base('WATTLE_CACHE_PORT_BASE')),
    state: row(base('WATTLE_STATE_PORT_BASE')),
    sentinels: row(base('WATTLE_SENTINEL_PORT_BASE')),
  }
  refuseOverlap(ports)
  return ports
}

/** All ports with a name for people, and the variable that moves them. */
export function namedPorts(ports: Ports): { port: number; name: string; base: string }[] {
  const row = (of: readonly number[], name: string, base: keyof typeof bases) =>
    of.map((port, index) => ({ port, name: `${name} ${index + 1}`, base }))
  return [
    ...Object.entries(ports.services).map(([name, port]) => ({
      port,
      name: `the ${name} service`,
      base: 'WATTLE_HTTP_PORT_BASE',
    })),
    ...row(ports.cache, 'Redis "cache"', 'WATTLE_CACHE_PORT_BASE'),
    ...row(ports.state, 'Redis "state"', 'WATTLE_STATE_PORT_BASE'),
    ...row(ports.sentinels, 'Sentinel', 'WATTLE_SENTINEL_PORT_BASE'),
  ]
}

function refuseOverlap(ports: Ports): void {
  const seen = new Map<number, { name: string; base: string }>()
  for (const { port, name, base } of namedPorts(ports)) {
    const other = seen.get(port)
    if (other) {
      throw new Problem(
        `Port ${port} would serve ${other.name} and ${name}: move ${other.base} and ${base} apart.`,
      )
    }
    seen.set(port, { name, base })
  }
}

/** A sentence for each port that something else listens on: which, for what it is needed, who has it, what moves it. */
export async function takenPorts(ports: Ports): Promise<string[]> {
  const sentences = await Promise.all(
    namedPorts(ports).map(async ({ port, name, base }) => {
      if (!(await isTaken(port, loopback)) && !(await isTaken(port, '::1'))) return undefined
      const holder = await holderOf(port)
      return `Port ${port} for ${name} is taken${holder ? ` by ${holder}` : ''}: stop that, or set ${base}.`
    }),
  )
  return sentences.filter((sentence) => sentence !== undefined)
}

/** `::1` counts as well: `localhost` may mean it, and one would talk to somebody else's program. */
function isTaken(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'EADDRINUSE'))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(false)))
  })
}
