import { Problem } from './problem.ts'
import { ask } from './readiness.ts'
import type { Service } from './service.ts'

const readyWithinMs = 60_000

/**
 * Resolves when all services are ready. Throws a Problem when one is misconfigured, or not ready in time: which, why, and
 * its last log lines. Not strict, it waits for as long as it takes.
 */
export async function untilReady(options: {
  services: readonly Service[]
  signal: AbortSignal
  strict: boolean
}): Promise<void> {
  const { services, signal, strict } = options
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  const late = Promise.withResolvers<'late'>()
  const timer = strict ? setTimeout(() => late.resolve('late'), readyWithinMs) : undefined
  try {
    const outcome = await Promise.race([
      aborted.promise,
      late.promise,
      Promise.all(services.map((service) => waitFor(service, strict))),
    ])
    if (outcome === 'late') throw new Problem(await reportUnready(services))
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

async function waitFor(service: Service, strict: boolean): Promise<void> {
  const isReady = await Promise.race([
    service.ready.then(() => true),
    ...(strict ? [service.misconfigured.then(() => false)] : []),
  ])
  if (isReady) return
  const reason = service.lastLines.join('\n')
  throw new Problem(`The configuration of ${service.definition.name} is wrong:\n${reason}`)
}

async function reportUnready(services: readonly Service[]): Promise<string> {
  const reports = await Promise.all(
    services
      .filter(({ state }) => state !== 'ready')
      .map(async ({ definition, port, pid, lastLines }) => {
        const answer = await ask(port, '/readyz')
        const why = answer
          ? `http://127.0.0.1:${port}/readyz answers ${answer.status} ${answer.body}`
          : pid === undefined
            ? 'it ends whenever it is started'
            : `nothing answers on port ${port}`
        return [
          `${definition.name} is not ready after ${readyWithinMs / 1000} s: ${why}`,
          ...lastLines.map((line) => `  ${line}`),
        ].join('\n')
      }),
  )
  return reports.join('\n')
}
