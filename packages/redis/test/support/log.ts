import type { Log } from '../../src/index.ts'

/** A log that keeps its lines: `warn Redis cache is away: …`. */
export function recordingLog(): Log & { lines: string[] } {
  const lines: string[] = []
  const at = (level: string) => (_fields: object, message: string) => {
    lines.push(`${level} ${message}`)
  }
  return { lines, info: at('info'), warn: at('warn'), error: at('error') }
}
