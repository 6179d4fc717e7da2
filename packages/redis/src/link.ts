import { connect as connectTcp, Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { AbstractConnector, type RedisOptions } from 'ioredis'
import { formatAddress, type Address } from './address.ts'
import { timing } from './settings.ts'

/** Where a connection goes next. Asked at each attempt; rejects with the reason when there is nowhere to go. */
export interface Route {
  next(signal: AbortSignal): Promise<Address>
}

/** The stream under one ioredis client: where it leads, and the means to cut it. */
export interface Link {
  /** To be given to the client. */
  readonly Connector: NonNullable<RedisOptions['Connector']>
  /** The server of the present stream, also while the handshake is under way. */
  readonly address: Address | undefined
  /** Destroys the present stream: its calls are rejected, and the client connects again along the route. */
  sever(reason: string): void
}

/**
 * ioredis' own connectors are replaced for three reasons. They end a client for good (status `end`) when they are
 * disconnected while they look for a master; this one reports every failure as a closed stream, after which
 * ioredis tries again. They ask one Sentinel after the other, each client for itself; here the route decides. And
 * they hand out no means to cut a stream that is dead without knowing it.
 */
export function createLink({
  route,
  tls,
  masterOnly,
}: {
  route: Route
  tls?: ConnectionOptions | undefined
  /** Refuse a server that is a replica. */
  masterOnly: boolean
}): Link {
  let current: { stream: Socket; address: Address } | undefined

  class LinkConnector extends AbstractConnector {
    #search: AbortController | undefined
    #handshake: NodeJS.Timeout | undefined

    constructor() {
      super(timing.disconnectTimeoutMs)
    }

    override async connect(): Promise<Socket> {
      this.connecting = true
      delete this.firstError
      this.#search = new AbortController()
      try {
        const address = await route.next(this.#search.signal)
        this.#search.signal.throwIfAborted()
        this.stream = this.#open(address)
      } catch (error) {
        this.firstError = error instanceof Error ? error : new Error(String(error))
        this.stream = new Socket().destroy()
      }
      return this.stream
    }

    #open(address: Address): Socket {
      const stream = tls ? connectTls({ ...address, ...tls }) : connectTcp(address)
      current = { stream, address }
      // ioredis listens for one error only; a second would end the process.
      stream.on('error', (error) => {
        this.firstError ??= error
      })
      stream.once('connect', () => {
        this.#handshake = setTimeout(() => {
          stream.destroy(new Error(`no handshake with ${formatAddress(address)}`))
        }, timing.handshakeTimeoutMs)
      })
      stream.once('close', () => {
        clearTimeout(this.#handshake)
        if (current?.stream === stream) current = undefined
      })
      return stream
    }

    /** Called by ioredis at the end of the handshake, with what INFO says. */
    override check({ role }: { role?: string }): boolean {
      clearTimeout(this.#handshake)
      if (!masterOnly || role === 'master') return true
      const where = current ? formatAddress(current.address) : 'the server'
      const reason = role
        ? `${where} is a replica, and only a master will do`
        : `NOPERM this user may not run INFO, so the role of ${where} is unknown`
      current?.stream.destroy(new Error(reason))
      return false
    }

    override disconnect(): void {
      this.#search?.abort(new Error('Connection is closed.'))
      super.disconnect()
    }
  }

  return {
    Connector: LinkConnector,
    get address() {
      return current?.address
    },
    sever(reason) {
      current?.stream.destroy(new Error(reason))
    },
  }
}

export const fixedRoute = (address: Address): Route => ({ next: () => Promise.resolve(address) })
