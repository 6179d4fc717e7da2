/** Settles when the dependency answers; rejects, or resolves to false, when it does not. */
export type CheckFunction = (signal: AbortSignal) => Promise<unknown>

/** A check; a function alone is required. One that is not required is reported, but never makes the service unready. */
export type ReadinessCheck =
  | CheckFunction
  | { readonly check: CheckFunction; readonly required?: boolean; readonly timeoutMs?: number }

export type Readiness = {
  readonly ready: boolean
  /** `ok`, `failed`, or for what is not required `degraded`. */
  readonly checks: Readonly<Record<string, 'ok' | 'failed' | 'degraded'>>
}

const defaultTimeoutMs = 1_000

/**
 * Runs the named checks side by side, each within its time-out. Callers at the same moment share one run. A check
 * that changes its state is logged once, with its cause.
 */
export function createReadiness(options: {
  checks: Readonly<Record<string, ReadinessCheck>>
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
}): () => Promise<Readiness> {
  const { log } = options
  const checks = Object.entries(options.checks).map(([name, given]) => ({
    name,
    required: true,
    timeoutMs: defaultTimeoutMs,
    ...(typeof given === 'function' ? { check: given } : given),
  }))
  const failing = new Set<string>()
  let running: Promise<Readiness> | undefined

  async function run(): Promise<Readiness> {
    const results = await Promise.all(
      checks.map(async ({ name, check, required, timeoutMs }) => {
        const cause = await failureOf(check, timeoutMs)
        report(name, cause)
        return { name, required, passed: cause === undefined }
      }),
    )
    return {
      ready: results.every(({ required, passed }) => passed || !required),
      checks: Object.fromEntries(
        results.map(({ name, required, passed }) => [
          name,
          passed ? 'ok' : required ? 'failed' : 'degraded',
        ]),
      ),
    }
  }

  function report(name: string, cause: unknown): void {
    if (cause !== undefined && !failing.has(name)) {
      failing.add(name)
      log.warn({ check: name, err: cause }, 'readiness check fails')
    } else if (cause === undefined && failing.delete(name)) {
      log.info({ check: name }, 'readiness check passes again')
    }
  }

  return () => {
    running ??= run().finally(() => (running = undefined))
    return running
  }
}

async function failureOf(check: CheckFunction, timeoutMs: number): Promise<unknown> {
  const signal = AbortSignal.timeout(timeoutMs)
  const timedOut = Promise.withResolvers<false>()
  const onAbort = () => timedOut.reject(new Error(`no answer within ${timeoutMs} ms`))
  signal.addEventListener('abort', onAbort)
  try {
    const result = await Promise.race([check(signal), timedOut.promise])
    return result === false ? new Error('the check answered no') : undefined
  } catch (error) {
    return error ?? new Error('the check failed')
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
