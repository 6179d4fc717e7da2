import type { Output } from './output.ts'

const levelStyles = {
  trace: 'dim',
  debug: 'dim',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
} as const

/**
 * A JSON log line of a service for people: time, level, message, the fields that matter, the error with its causes. A line that is
 * none stays as it is. Ids of trace and span are left to the full log in the file.
 */
export function renderLogLine(line: string, style: Output['style']): string {
  const fields = parse(line)
  if (!fields) return withoutControls(line)
  const {
    level,
    time,
    msg,
    err,
    error = err,
    service,
    version,
    traceId,
    spanId,
    pid,
    ...rest
  } = fields
  const { hostname, method, route, status, durationMs, ...others } = rest
  const label = String(level)
  const colour = levelStyles[label as keyof typeof levelStyles] ?? 'dim'
  const clock = typeof time === 'string' ? time.slice(11, 23) : ''
  const request = method === undefined ? '' : [method, route, status].map(textOf).join(' ')
  const took = typeof durationMs === 'number' ? `${durationMs} ms` : ''
  const details = Object.entries(others).map(([name, value]) => `${name}=${textOf(value)}`)
  return [
    style('dim', clock),
    style(colour, label.toUpperCase().padEnd(5)),
    request === '' || msg !== 'request' ? textOf(msg ?? '') : '',
    request,
    took,
    style('dim', details.join(' ')),
  ]
    .filter((part) => part !== '')
    .join(' ')
    .concat(errorText(error))
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const fields = JSON.parse(line) as Record<string, unknown>
    return 'level' in fields ? fields : undefined
  } catch {
    return undefined
  }
}

function errorText(error: unknown, lead = '\n  '): string {
  if (error === undefined || error === null) return ''
  if (Array.isArray(error)) return error.map((one) => errorText(one, lead)).join('')
  if (typeof error !== 'object') return `${lead}${textOf(error)}`
  const { stack, message, cause } = error as Record<string, unknown>
  const text = typeof stack === 'string' ? stack : textOf(message ?? JSON.stringify(error))
  const own = text
    .split('\n')
    .map((part, index) => `${index === 0 ? lead : '\n  '}${withoutControls(part)}`)
  return own.join('') + errorText(cause, '\n  caused by ')
}

function textOf(value: unknown): string {
  return withoutControls(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
}

/** A log may hold what a stranger sent: nothing of it may reach the terminal as a command. */
function withoutControls(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '�')
}
