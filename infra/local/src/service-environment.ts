import type { Home } from './home.ts'
import { loopback, type Ports } from './ports.ts'
import { secretVariables, type Secrets } from './secrets.ts'
import { databaseVariable, ownerDatabaseVariable } from './service-list.ts'

/** The first part of every Redis key, and what services take as WATTLE_ENV. */
export const environmentName = 'development'

/**
 * The environment of one service: that of the terminal, without what npm adds and without what belongs to other
 * services, and over it what the stack decides. A secret given from outside is left as it is.
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
  const own = new Set(withFiles(secretVariables(service)))
  const hidden = new Set(others.flatMap(privateVariables).filter((name) => !own.has(name)))
  const inherited = Object.entries(env).filter(
    ([name]) => !hidden.has(name) && !/^(npm_|INIT_CWD$)/.test(name),
  )
  const files = Object.entries(secrets.files[service] ?? {})
    .filter(([variable]) => !withFiles([variable]).some((name) => env[name]))
    .map(([variable, file]) => [`${variable}_FILE`, file])
  return {
    NODE_COMPILE_CACHE: home.compileCache,
    WATTLE_DRAIN_MS: '4000',
    ...Object.fromEntries(inherited),
    WATTLE_ENV: environmentName,
    WATTLE_SERVICE_HOST: loopback,
    WATTLE_SERVICE_PORT: String(ports.services[service]),
    WATTLE_LOG_FORMAT: 'json',
    WATTLE_REDIS_CACHE_URL: redisUrl('cache', service),
    WATTLE_REDIS_STATE_URL: redisUrl('state', service),
    WATTLE_INTERNAL_JWKS_URL: `${at('gateway')}/.well-known/jwks.json`,
    ...Object.fromEntries(others.map((name) => [`WATTLE_${name.toUpperCase()}_URL`, at(name)])),
    ...(databaseUrl === undefined ? {} : { [databaseVariable(service)]: databaseUrl }),
    ...Object.fromEntries(files),
  }
}

/** What nobody but this service gets to see. */
function privateVariables(service: string): string[] {
  const secrets = [databaseVariable(service), ...secretVariables(service)]
  return [ownerDatabaseVariable(service), ...withFiles(secrets)]
}

/** Every value may be given in a file as well. */
function withFiles(variables: readonly string[]): string[] {
  return variables.flatMap((variable) => [variable, `${variable}_FILE`])
}
