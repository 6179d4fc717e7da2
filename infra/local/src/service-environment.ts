import type { Home } from './home.ts'
import { loopback, type Ports } from './ports.ts'
import type { Secrets } from './secrets.ts'
import { databaseVariable } from './service-list.ts'

/** Keys that a service signs with: variable, and the file the stack keeps for it. Nobody else gets to see them. */
const signingKeys: Readonly<
  Record<string, { variable: string; file: keyof Secrets['keys'] } | undefined>
> = {
  user: { variable: 'WATTLE_ACCESS_SIGNING_KEY', file: 'accessSigning' },
  gateway: { variable: 'WATTLE_INTERNAL_SIGNING_KEY', file: 'internalSigning' },
}

/**
 * The environment of one service: that of the terminal, without what npm adds and without what belongs to other
 * services, and over it what the stack decides. A signing key given from outside is left as it is.
 */
export function serviceEnvironment(
  service: string,
  options: {
    env: NodeJS.ProcessEnv
    home: Home
    ports: Ports
    secrets: Secrets
    databaseUrl: string | undefined
    redisUrl: (group: 'cache' | 'state', service: string) => string
  },
): NodeJS.ProcessEnv {
  const { env, home, ports, secrets, databaseUrl, redisUrl } = options
  const at = (name: string) => `http://${loopback}:${ports.services[name]}`
  const others = Object.keys(ports.services).filter((name) => name !== service)
  const hidden = new Set(
    others.flatMap((name) => [
      databaseVariable(name),
      `DATABASE_OWNER_URL_${name.toUpperCase()}`,
      ...keyVariables(name),
    ]),
  )
  const inherited = Object.fromEntries(
    Object.entries(env).filter(([name]) => !hidden.has(name) && !/^(npm_|INIT_CWD$)/.test(name)),
  )
  const key = signingKeys[service]
  const isKeyGiven = keyVariables(service).some((name) => env[name])
  return {
    NODE_COMPILE_CACHE: home.compileCache,
    WATTLE_DRAIN_MS: '4000',
    ...inherited,
    WATTLE_ENV: environmentName,
    WATTLE_SERVICE_HOST: loopback,
    WATTLE_SERVICE_PORT: String(ports.services[service]),
    WATTLE_LOG_FORMAT: 'json',
    WATTLE_REDIS_CACHE_URL: redisUrl('cache', service),
    WATTLE_REDIS_STATE_URL: redisUrl('state', service),
    WATTLE_INTERNAL_JWKS_URL: `${at('gateway')}/.well-known/jwks.json`,
    ...Object.fromEntries(others.map((name) => [`WATTLE_${name.toUpperCase()}_URL`, at(name)])),
    ...(databaseUrl === undefined ? {} : { [databaseVariable(service)]: databaseUrl }),
    ...(key && !isKeyGiven ? { [`${key.variable}_FILE`]: secrets.keys[key.file] } : {}),
  }
}

function keyVariables(service: string): string[] {
  const variable = signingKeys[service]?.variable
  return variable === undefined ? [] : [variable, `${variable}_FILE`]
}

/** The first part of every Redis key, and what services take as WATTLE_ENV. */
export const environmentName = 'development'
