import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { ConfigError } from './config.ts'

export type StartContext = {
  /** Registers what is closed at the end; the last registered is closed first. */
  onClose(name: string, close: () => unknown): void
}

export type RunOptions = {
  readonly name: string
  /** Builds the app; it is then listened on and stopped here. */
  readonly start: (context: StartContext) => Promise<FastifyInstance> | FastifyInstance
  /** How long each thing registered with onClose may take; 5,000 ms. */
  readonly closeTimeoutMs?: number
}

const defaultCloseTimeoutMs = 5_000
/** EX_CONFIG of sysexits.h. */
const configExitCode = 78

/**
 * The main function of a service process. Reads no configuration itself: `start` does, and a ConfigError from it ends
 * the process with its sentences on stderr and exit code 78 (EX_CONFIG: starting it again is no use). A port that is
 * taken is one sentence too, with exit code 1.
 *
 * SIGTERM or SIGINT stops it gracefully: readiness turns 503 at once; for WATTLE_LAME_DUCK_MS everything is still
 * served; then no connection is accepted, requests in flight may finish for WATTLE_DRAIN_MS, what was registered with
 * onClose is closed in reverse order, and the exit code is 0, or 1 when something had to be cut off. A second signal
 * exits at once.
 */
export async function runService(options: RunOptions): Promise<void> {
  const { name, start, closeTimeoutMs = defaultCloseTimeoutMs } = options
  const closers: { name: string; close: () => unknown }[] = []
  let app: FastifyInstance | undefined
  let stopping = false

  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) process.exit(signal === 'SIGINT' ? 130 : 143)
    stopping = true
    app?.log.info({ signal }, 'stopping')
    const isClean = app === undefined || (await drain(app))
    const areClosed = await closeAll(closers, closeTimeoutMs, app?.log)
    app?.log.info('stopped')
    process.exit(isClean && areClosed ? 0 : 1)
  }
  const onSignal = (signal: NodeJS.Signals) => void stop(signal)
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  process.on('uncaughtException', (error, origin) => {
    if (app === undefined) process.stderr.write(`${name}: ${error.stack ?? String(error)}\n`)
    else app.log.fatal({ err: error, origin }, 'the process cannot go on')
    process.exit(1)
  })

  try {
    app = await start({ onClose: (closerName, close) => closers.push({ name: closerName, close }) })
    if (stopping) return
    const { WATTLE_SERVICE_HOST: host, WATTLE_SERVICE_PORT: port } = app.service.config
    await app.listen({ host, port, listenTextResolver: (address) => `listening on ${address}` })
  } catch (error) {
    if (stopping) return
    process.stderr.write(`${name}: ${sentenceOf(error, app)}\n`)
    await app?.close()
    await closeAll(closers, closeTimeoutMs, app?.log)
    process.exit(error instanceof ConfigError ? configExitCode : 1)
  }
}

/**
 * Lets an app finish: turns it unready, waits out the lame-duck time, stops accepting, waits for requests in flight.
 * Returns false when some had to be cut off.
 */
export async function drain(app: FastifyInstance): Promise<boolean> {
  const { service } = app
  const { WATTLE_ENV, WATTLE_LAME_DUCK_MS, WATTLE_DRAIN_MS } = service.config
  service.draining = true
  const isLocal = WATTLE_ENV === 'development' || WATTLE_ENV === 'test'
  await delay(WATTLE_LAME_DUCK_MS ?? (isLocal ? 0 : 5_000))

  let isCut = false
  const cut = setTimeout(() => {
    isCut = true
    app.log.warn({ drainMs: WATTLE_DRAIN_MS }, 'requests in flight are cut off')
    app.server.closeAllConnections()
  }, WATTLE_DRAIN_MS)
  // A connection whose last answer left before it could say `Connection: close` idles on, and would hold up the end.
  const sweep = setInterval(() => app.server.closeIdleConnections(), 50)
  try {
    await within(WATTLE_DRAIN_MS + defaultCloseTimeoutMs, () => app.close())
  } catch (error) {
    isCut = true
    app.log.warn({ err: error }, 'the app could not be closed')
  } finally {
    clearTimeout(cut)
    clearInterval(sweep)
  }
  return !isCut
}

async function closeAll(
  closers: readonly { name: string; close: () => unknown }[],
  timeoutMs: number,
  log: Pick<Logger, 'warn'> | FastifyInstance['log'] | undefined,
): Promise<boolean> {
  let allClosed = true
  for (const { name, close } of closers.toReversed()) {
    try {
      await within(timeoutMs, close)
    } catch (error) {
      allClosed = false
      log?.warn({ err: error, closing: name }, 'could not be closed')
    }
  }
  return allClosed
}

async function within(limitMs: number, work: () => unknown): Promise<void> {
  const bound = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => bound.reject(new Error(`not closed within ${limitMs} ms`)),
    limitMs,
  )
  try {
    await Promise.race([work(), bound.promise])
  } finally {
    clearTimeout(timer)
  }
}

function sentenceOf(error: unknown, app: FastifyInstance | undefined): string {
  if (error instanceof ConfigError) return error.message
  const code = (error as { code?: unknown } | undefined)?.code
  if (
    app !== undefined &&
    (code === 'EADDRINUSE' || code === 'EACCES' || code === 'EADDRNOTAVAIL')
  ) {
    const { WATTLE_SERVICE_HOST: host, WATTLE_SERVICE_PORT: port } = app.service.config
    if (code === 'EADDRNOTAVAIL') {
      return `the address ${host} does not belong to this machine: correct WATTLE_SERVICE_HOST.`
    }
    const reason =
      code === 'EACCES' ? 'may not be opened by this user' : 'is taken by another process'
    return `port ${port} on ${host} ${reason}: set WATTLE_SERVICE_PORT to a free one.`
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
