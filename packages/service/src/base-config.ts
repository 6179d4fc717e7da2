import { Type, type Static, type TObject } from 'typebox'
import { listed } from './field-problems.ts'

/** A TCP port; 0 takes any free one. */
export function port(options: { default?: number; description?: string } = {}) {
  return Type.Integer({ description: 'a TCP port', ...options, minimum: 0, maximum: 65_535 })
}

/** A time span in milliseconds. */
export function durationMs(options: { default?: number; minimum?: number; maximum?: number } = {}) {
  return Type.Integer({ minimum: 0, maximum: 86_400_000, description: 'milliseconds', ...options })
}

/**
 * A URL with one of these schemes, such as `['http', 'https']`. Only its beginning is looked at, since several hosts and
 * socket paths are allowed in some; whoever opens it checks the rest (see `check` of loadConfig).
 */
export function url(schemes: readonly string[]) {
  const escaped = schemes.map((scheme) => scheme.replaceAll('+', '\\+'))
  return Type.String({
    pattern: `^(${escaped.join('|')})://[^\\s]+$`,
    description: `a URL that begins with ${listed(schemes.map((scheme) => `${scheme}://`))}`,
  })
}

/** The variables that every service reads. Spread them: `Type.Object({ ...baseConfig, MY_URL: url(['http']) })`. */
export const baseConfig = {
  WATTLE_ENV: Type.Enum(['development', 'test', 'staging', 'production']),
  WATTLE_SERVICE_HOST: Type.String({ default: '127.0.0.1', minLength: 1 }),
  WATTLE_SERVICE_PORT: port(),
  WATTLE_LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
  }),
  WATTLE_LOG_FORMAT: Type.Enum(['json', 'pretty'], { default: 'json' }),
  /** How long requests are still served after readiness has turned 503; where it is not set: 5 s, and 0 in development. */
  WATTLE_LAME_DUCK_MS: Type.Optional(durationMs({ maximum: 120_000 })),
  /** How long requests in flight may take to finish at shutdown. */
  WATTLE_DRAIN_MS: durationMs({ default: 10_000, maximum: 300_000 }),
}

export type BaseConfig = Static<TObject<typeof baseConfig>>
