import type { Address } from './address.ts'

/** Encryption and identity. Paths name PEM files. */
export interface TlsConfig {
  /** Authority that signed the servers' certificates; default: those of the system. */
  caFile?: string
  /** Client certificate and its key, where the server asks for one. */
  certificateFile?: string
  keyFile?: string
  /** Name to expect in the certificate, where servers are reached by address. */
  serverName?: string
}

interface Common {
  /** ACL user; without it the password is that of the default user. */
  user?: string
  password?: string
  /** Present: the connection is encrypted and the server's certificate verified. */
  tls?: TlsConfig
}

export interface SingleConfig extends Common, Address {
  mode: 'single'
  database?: number
}

export interface SentinelConfig extends Common {
  mode: 'sentinel'
  sentinels: readonly Address[]
  /** Name of the watched group. */
  group: string
  sentinelUser?: string
  sentinelPassword?: string
  /** Encryption towards the Sentinels. */
  sentinelTls?: TlsConfig
  database?: number
}

export interface ClusterConfig extends Common {
  mode: 'cluster'
  /** Some of the nodes; the others are discovered. */
  nodes: readonly Address[]
}

export type RedisConfig = SingleConfig | SentinelConfig | ClusterConfig

const schemes = {
  redis: { mode: 'single', tls: false, port: 6379 },
  rediss: { mode: 'single', tls: true, port: 6379 },
  'redis+sentinel': { mode: 'sentinel', tls: false, port: 26379 },
  'rediss+sentinel': { mode: 'sentinel', tls: true, port: 26379 },
  'redis+cluster': { mode: 'cluster', tls: false, port: 6379 },
  'rediss+cluster': { mode: 'cluster', tls: true, port: 6379 },
} as const

/** What a Redis URL may begin with, before `://`. */
export const redisUrlSchemes: readonly string[] = Object.keys(schemes)

const tlsParameters = ['ca', 'cert', 'key', 'serverName']
const sentinelParameters = ['sentinelUser', 'sentinelPassword', 'database']

/**
 * Reads one of
 *
 *     redis://user:password@host:6379/0
 *     redis+sentinel://user:password@host1:26379,host2:26379,host3:26379/group?sentinelUser=…&sentinelPassword=…
 *     redis+cluster://user:password@host1:6379,host2:6379
 *
 * or the same with `rediss`, for TLS, where `?ca=`, `?cert=`, `?key=` (paths) and `?serverName=` may follow.
 * Special characters in user, password and parameters are percent-encoded. Throws an Error of one sentence
 * that names the problem and never holds a part of the URL that might be a password.
 */
export function parseRedisUrl(url: string): RedisConfig {
  const [, schemeName, rest] = /^([a-z+]+):\/\/(.*)$/s.exec(url) ?? []
  const scheme = Object.entries(schemes).find(([name]) => name === schemeName)?.[1]
  if (scheme === undefined || rest === undefined) {
    throw new Error(`A Redis URL begins with one of ${Object.keys(schemes).join('://, ')}://.`)
  }
  const [, authority = '', path = '', query = ''] =
    /^([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?/.exec(rest) ?? []
  if (rest.slice(authority.length).includes('@')) {
    throw new Error('The user or password in the Redis URL holds a character to percent-encode.')
  }
  if (rest.includes('#')) throw new Error('The Redis URL holds a "#", which must be written "%23".')

  const parameters = readParameters(query, [
    ...(scheme.tls ? tlsParameters : []),
    ...(scheme.mode === 'sentinel' ? sentinelParameters : []),
  ])
  const tls = scheme.tls ? { tls: readTls(parameters) } : {}
  const at = authority.lastIndexOf('@')
  const common = { ...readCredentials(at < 0 ? '' : authority.slice(0, at)), ...tls }
  const hosts = readHosts(authority.slice(at + 1), scheme.port)

  if (scheme.mode === 'cluster') {
    if (path) throw new Error('The URL of a Redis Cluster has no path: a cluster has one database.')
    return { mode: 'cluster', nodes: hosts, ...common }
  }
  if (scheme.mode === 'sentinel') {
    const group = decode(path, 'group')
    if (!group) throw new Error('The Redis URL names no Sentinel group: it ends with "/<group>".')
    const { sentinelUser, sentinelPassword } = parameters
    return {
      mode: 'sentinel',
      sentinels: hosts,
      group,
      ...common,
      ...(sentinelUser ? { sentinelUser } : {}),
      ...(sentinelPassword ? { sentinelPassword } : {}),
      ...(tls.tls ? { sentinelTls: tls.tls } : {}),
      ...readDatabase(parameters['database']),
    }
  }
  const [host, ...others] = hosts
  if (!host || others.length > 0) {
    throw new Error('The Redis URL names several hosts: use redis+sentinel:// or redis+cluster://.')
  }
  return { mode: 'single', ...host, ...common, ...readDatabase(path) }
}

function readHosts(text: string, defaultPort: number): Address[] {
  return text.split(',').map((item, index) => {
    const which = text.includes(',') ? `host ${index + 1} of the Redis URL` : 'the Redis URL'
    const [, bracketed, plain, portText] =
      /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*))(?::(.*))?$/.exec(item) ?? []
    const host = bracketed ?? plain
    if (!host) throw new Error(`A host name is missing or malformed in ${which}.`)
    if (portText === undefined) return { host, port: defaultPort }
    const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0
    if (port < 1 || port > 65_535) {
      throw new Error(`The port in ${which} is not a number from 1 to 65535.`)
    }
    return { host, port }
  })
}

function readCredentials(text: string): { user?: string; password?: string } {
  const colon = text.indexOf(':')
  const user = decode(colon < 0 ? text : text.slice(0, colon), 'user')
  const password = colon < 0 ? '' : decode(text.slice(colon + 1), 'password')
  if (user && !password) throw new Error('The Redis URL names a user but no password.')
  return { ...(user ? { user } : {}), ...(password ? { password } : {}) }
}

function readDatabase(text: string | undefined): { database?: number } {
  if (!text) return {}
  if (!/^\d{1,4}$/.test(text)) throw new Error('The database in the Redis URL is not a number.')
  return { database: Number(text) }
}

function readParameters(query: string, known: readonly string[]): Record<string, string> {
  const parameters: Record<string, string> = {}
  for (const pair of query ? query.split('&') : []) {
    const [name = '', value = ''] = pair.split(/=(.*)/s)
    if (!known.includes(name)) {
      const allowed = known.length > 0 ? `only ${known.join(', ')}` : 'none here'
      throw new Error(`The Redis URL has a parameter that is not known; there is ${allowed}.`)
    }
    parameters[name] = decode(value, name)
  }
  return parameters
}

function readTls({ ca, cert, key, serverName }: Record<string, string>): TlsConfig {
  if (!cert !== !key) throw new Error('The Redis URL gives only one of "cert" and "key".')
  return {
    ...(ca ? { caFile: ca } : {}),
    ...(cert ? { certificateFile: cert } : {}),
    ...(key ? { keyFile: key } : {}),
    ...(serverName ? { serverName } : {}),
  }
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Error(`The ${what} in the Redis URL is not percent-encoded correctly.`)
  }
}
