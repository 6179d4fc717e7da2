/** What the test told this process. */
export function settings<T>(): T & { redisUrl: string; databaseUrl: string; environment: string } {
  return JSON.parse(process.env['SETTINGS'] ?? '{}') as ReturnType<typeof settings<T>>
}

let last = ''

/** Tells the test, once for the same. */
export function announce(state: string): void {
  if (state !== last) process.stdout.write(`${(last = state)}\n`)
}
