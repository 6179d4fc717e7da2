/** What the test told this process. */
export const settings = JSON.parse(process.env['SETTINGS'] ?? '{}') as {
  redisUrl: string
  databaseUrl: string
  environment: string
  replicas: number
  claimAfterMs: number
  /** The subject at which the handler stays for ever. */
  hangsAt?: string
}

let last = ''

/** Tells the test, once for the same. */
export function announce(state: string): void {
  if (state !== last) process.stdout.write(`${(last = state)}\n`)
}
