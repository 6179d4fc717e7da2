const colours: Readonly<Record<string, number>> = {
  trace: 90,
  debug: 90,
  info: 32,
  warn: 33,
  error: 31,
  fatal: 35,
}

/** One JSON log line as a line for people; what is not such a line stays as it is. */
export function prettyLine(line: string): string {
  let fields: Record<string, unknown>
  try {
    fields = JSON.parse(line) as Record<string, unknown>
  } catch {
    return line
  }
  const { level, time, service, version: _version, msg, err, ...rest } = fields
  const clock = typeof time === 'string' ? time.slice(11, 23) : ''
  const label = String(level)
  const extra = Object.entries(rest)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ')
  const head = `${clock} \u001b[${colours[label] ?? 0}m${label.padEnd(5)}\u001b[0m ${String(service)}`
  return `${head} ${typeof msg === 'string' ? msg : ''} ${extra}`.trimEnd() + stackText(err) + '\n'
}

function stackText(err: unknown): string {
  if (typeof err !== 'object' || err === null) return ''
  const { stack, message, cause } = err as { stack?: unknown; message?: unknown; cause?: unknown }
  const text = typeof stack === 'string' ? stack : String(message)
  const own = `\n    ${text.replaceAll('\n', '\n    ')}`
  return cause === undefined ? own : `${own}\n    caused by:${stackText(cause)}`
}
