import { createServer } from 'node:net'
import { randomInt } from 'node:crypto'

/** The address is in use. `port` says which. */
export class PortTakenError extends Error {
  readonly code = 'EADDRINUSE'
  readonly port: number

  constructor(port: number, options?: ErrorOptions) {
    super(`port ${port} is taken`, options)
    this.name = 'PortTakenError'
    this.port = port
  }
}

/** Whether something could listen on this loopback port now. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/**
 * A loopback port that is free now. Another process may take it before it is used: whoever starts a
 * server there asks for another on `PortTakenError` (see `onFreePort`).
 *
 * Taken from below the range from which systems give out ports for outgoing connections: a server
 * that is killed and started again would otherwise now and then find its port gone.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(11_000, 26_000)
    if (await isPortFree(port)) return port
  }
}

/** Starts something on a free port; asks for another port when that one was taken meanwhile. */
export async function onFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await freePort())
    } catch (error) {
      if (!(error instanceof PortTakenError) || attempt === 10) throw error
    }
  }
}
