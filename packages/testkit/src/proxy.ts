import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

export type ProxyTarget = { host: string; port: number } | { path: string }

/** What a blackhole swallows, seen from the client. */
export type Direction = 'both' | 'requests' | 'replies'

export interface TestProxy {
  readonly host: string
  readonly port: number
  /** Connections open now. */
  readonly connections: number
  /** From now on every byte arrives this much later, in each direction. */
  slow(delayMs: number): void
  /** Resets all present connections. New ones are accepted. */
  cut(): void
  /**
   * Nothing passes any more and nobody is told: a cable pulled out. What was sent meanwhile arrives
   * after `heal`, as TCP would send it again. New connections are accepted and stay silent.
   */
  blackhole(direction?: Direction): void
  /** Resets all connections and refuses new ones, as after a kill. */
  refuse(): Promise<void>
  /** Everything passes again. */
  heal(): Promise<void>
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A TCP proxy on loopback in front of a server, which it can make slow, silent or absent. */
export async function startProxy(target: ProxyTarget): Promise<TestProxy> {
  const sockets = new Set<Socket>()
  let delayMs = 0
  let swallowed: Direction | undefined
  let healed = Promise.withResolvers<void>()
  let refusing = false

  const isSwallowed = (direction: Direction) => swallowed === 'both' || swallowed === direction

  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ ...target, allowHalfOpen: true })
    join(client, upstream)
    relay(client, upstream, 'requests')
    relay(upstream, client, 'replies')
  })

  /** The end of one by force is the end of the other. */
  function join(client: Socket, upstream: Socket): void {
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.setNoDelay(true)
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', (failed) => {
        sockets.delete(socket)
        if (failed) reset(other)
        else if (!other.writableEnded) other.destroySoon()
      })
    }
  }

  /** One chunk after another, each as late as the moment it came tells. */
  function relay(from: Socket, to: Socket, direction: Direction): void {
    let last = Promise.resolve()
    const pass = (send: () => void) => {
      const due = performance.now() + delayMs
      last = last.then(async () => {
        const early = due - performance.now()
        if (early > 0) await wait(early)
        while (isSwallowed(direction)) await healed.promise
        if (!to.destroyed) send()
      })
    }
    from.on('data', (chunk: Buffer) => pass(() => to.write(chunk)))
    from.on('end', () => pass(() => to.end()))
  }

  const cut = () => {
    for (const socket of sockets) reset(socket)
  }
  const open = () => {
    delayMs = 0
    swallowed = undefined
    healed.resolve()
    healed = Promise.withResolvers()
  }
  const stop = async () => {
    cut()
    open()
    await close(server)
  }
  const port = await listen(server, 0)
  return {
    host: '127.0.0.1',
    port,
    get connections() {
      return sockets.size / 2
    },
    slow: (ms) => void (delayMs = ms),
    cut,
    blackhole: (direction = 'both') => void (swallowed = direction),
    async refuse() {
      refusing = true
      cut()
      await close(server)
    },
    async heal() {
      open()
      if (refusing) await listen(server, port)
      refusing = false
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve())
    else resolve()
  })
}

/** Cuts a connection as hard as its kind allows: a Unix socket has no reset. */
function reset(socket: Socket): void {
  if (socket.remoteAddress === undefined) socket.destroy()
  else socket.resetAndDestroy()
}
