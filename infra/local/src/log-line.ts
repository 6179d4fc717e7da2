import type { Output } from './output.ts'

const levelStyles = {
  trace: 'dim',
  debug: 'dim',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
} as const

const shownFrames = 5

/** In the head of the line already, or of use only to programs. */
const hidden = new Set(['service', 'version', 'pid', 'hostname', 'traceId', 'spanId'])

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
    method,
    route,
    status,
    durationMs,
    ...others
  } = fields
  const label = String(level)
  const colour = levelStyles[label as keyof typeof levelStyles] ?? 'dim'
  const clock = typeof time === 'string' ? time.slice(11, 23) : ''
  const request = method === undefined ? '' : [method, route, status].map(textOf).join(' ')
  const took = typeof durationMs === 'number' ? `${durationMs} ms` : ''
  const details = Object.entries(others)
    .filter(([name, value]) => !hidden.has(name) && !textOf(msg).includes(textOf(value)))
    .map(([name, value]) => `${name}=${textOf(value)}`)
  return [
    style('dim', clock),
    style(colour, label.toUpperCase().padEnd(5)),
    request === '' || msg !== 'request' ? textOf(msg ?? '') : '',
    request,
    took,
    details.length > 0 ? style('dim', details.join(' ')) : '',
  ]
    .filter((part) => part !== '')
    .join(' ')
    .concat(errorText(error, { frames: level === 'error' || level === 'fatal' ? shownFrames : 0 }))
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

/** What went wrong and why, and where in code of ours; the whole stack is in the file. */
function errorText(
  error: unknown,
  { frames, lead = '' }: { frames: number; lead?: string },
): string {
  if (error === undefined || error === null) return ''
  if (Array.isArray(error)) return error.map((one) => errorText(one, { frames, lead })).join('')
  if (typeof error !== 'object') return `\n  ${lead}${textOf(error)}`
  const { type, message, code, stack, cause } = error as Record<string, unknown>
  const head = [type, code].filter((part) => typeof part === 'string').join(' ')
  const where = typeof stack === 'string' ? stack.split('\n').filter(isOwnFrame) : []
  return [
    `\n  ${lead}${textOf(head)}: ${textOf(message)}`,
    ...where.slice(0, frames).map((frame) => `\n    ${textOf(frame.trim())}`),
    errorText(cause, { frames: 0, lead: 'caused by ' }),
  ].join('')
}

function isOwnFrame(line: string): boolean {
  return /^\s+at /.test(line) && !/node_modules|node:|<anonymous>/.test(line)
}

function textOf(value: unknown): string {
  if (value === undefined) return ''
  return withoutControls(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
}

/** A log may hold what a stranger sent: nothing of it may reach the terminal as a command. */
function withoutControls(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '�')
}
