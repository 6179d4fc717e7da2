import { pino, type DestinationStream, type Logger } from 'pino'
import type { BaseConfig } from './base-config.ts'
import { prettyLine } from './log-pretty.ts'
import { errorFields, scrubText, withoutSecrets } from './redact.ts'

export type { Logger } from 'pino'

/**
 * The log of a process: one JSON object a line on stdout, with `service`, `level` as a word and `time` in ISO 8601.
 * Values under names such as `password`, `authorization` or `token`, at any depth, credentials in URLs, bearer values
 * and JWTs are replaced before a line is written. Errors are logged with their causes.
 */
export function createLogger(options: {
  name: string
  version?: string
  config: Pick<BaseConfig, 'WATTLE_LOG_LEVEL' | 'WATTLE_LOG_FORMAT'>
  /** Where lines go; stdout by default. */
  destination?: DestinationStream
}): Logger {
  const { name, version, config } = options
  const destination = options.destination ?? pino.destination({ dest: 1, sync: true })
  const pretty = config.WATTLE_LOG_FORMAT === 'pretty'
  const logger = pino(
    {
      level: config.WATTLE_LOG_LEVEL,
      base: version === undefined ? { service: name } : { service: name, version },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: {
        level: (label) => ({ level: label }),
        log: withoutSecrets,
      },
      serializers: { err: errorFields, error: errorFields },
      hooks: { streamWrite: pretty ? (line) => prettyLine(scrubText(line)) : scrubText },
    },
    destination,
  )
  // Bindings of children pass by the formatter. Children inherit this method.
  const { child } = logger
  logger.child = function childWithoutSecrets(this: Logger, bindings, childOptions) {
    return child.call(this, withoutSecrets(bindings), childOptions)
  } as Logger['child']
  return logger
}
