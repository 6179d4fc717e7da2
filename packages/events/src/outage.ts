import type { Log } from '@wattle/redis'

/** Tells the log once that something fails, and once that it works again; counts the failures in between. */
export function createOutage({ log, what }: { log: Log | undefined; what: string }) {
  let failures = 0
  return {
    /** How often it has failed since it last worked. */
    failed(error: unknown): number {
      failures += 1
      if (failures === 1) log?.warn({ err: error }, `${what} fails: ${textOf(error)}`)
      return failures
    },
    worked(): void {
      if (failures > 0) log?.info({ failures }, `${what} works again`)
      failures = 0
    },
  }
}

export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return cause instanceof Error ? `${error.message} (${cause.message})` : error.message
}
