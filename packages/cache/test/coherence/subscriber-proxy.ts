import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Random } from '@wattle/testkit'

export type SubscriberProxy = {
  readonly port: number
  /** Every byte in each direction, of every connection, this much later. */
  slow(delayMs: number): void
  /** Nothing passes on connections that have subscribed, and nobody is told. It arrives after `heal`, as TCP would. */
  silence(): void
  /** This share of the published messages never arrives. */
  drop(share: number): void
  heal(): void
  stop(): Promise<void>
}

/** A TCP proxy in front of a Redis that knows which connections have subscribed, and where a message ends. */
export async function startSubscriberProxy({
  port: target,
  random,
}: {
  port: number
  random: Random
}): Promise<SubscriberProxy> {
  const sockets = new Set<Socket>()
  let delayMs = 0
  let dropShare = 0
  let silent: PromiseWithResolvers<void> | undefined

  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    let subscribed = false
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.setNoDelay(true)
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    const toServer = queue(upstream)
    const toClient = queue(client)
    const splitter = createSplitter()
    client.on('data', (bytes) => {
      subscribed ||= /\r\np?subscribe\r\n/i.test(bytes.toString('latin1'))
      toServer(bytes)
    })
    upstream.on('data', (bytes) => {
      if (!subscribed) return toClient(bytes)
      for (const frame of splitter(bytes)) {
        if (isMessage(frame) && random.chance(dropShare)) continue
        toClient(frame)
      }
    })

    /** One chunk after another, each as late as the moment it came tells. */
    function queue(to: Socket): (bytes: Buffer) => void {
      let last = Promise.resolve()
      let waiting = 0
      return (bytes) => {
        const due = performance.now() + delayMs
        if (waiting === 0 && delayMs === 0 && !(subscribed && silent)) {
          to.write(bytes)
          return
        }
        waiting++
        last = last.then(async () => {
          const early = due - performance.now()
          if (early > 0) await wait(early)
          while (subscribed && silent) await silent.promise
          waiting--
          if (!to.destroyed) to.write(bytes)
        })
      }
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const heal = () => {
    delayMs = 0
    dropShare = 0
    silent?.resolve()
    silent = undefined
  }
  return {
    port: (server.address() as AddressInfo).port,
    slow: (ms) => void (delayMs = ms),
    silence: () => void (silent ??= Promise.withResolvers()),
    drop: (share) => void (dropShare = share),
    heal,
    async stop() {
      heal()
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

const isMessage = (frame: Buffer) =>
  /^[*>]\d+\r\n\$p?[78]\r\np?message\r\n/.test(frame.toString('latin1', 0, 32))

/** Cuts a stream of Redis replies, either version of the protocol, into whole ones. */
function createSplitter(): (bytes: Buffer) => Buffer[] {
  let rest: Buffer = Buffer.alloc(0)
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    const frames: Buffer[] = []
    for (let end = frameEnd(rest, 0); end > 0; end = frameEnd(rest, 0)) {
      frames.push(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    return frames
  }
}

/** Where the reply that starts at `from` ends, or -1 while it is not complete. */
function frameEnd(bytes: Buffer, from: number): number {
  const lineEnd = bytes.indexOf('\r\n', from)
  if (lineEnd < 0) return -1
  const type = String.fromCharCode(bytes[from] ?? 0)
  const count = Number(bytes.toString('latin1', from + 1, lineEnd))
  const next = lineEnd + 2
  if ('$=!'.includes(type)) {
    const end = count < 0 ? next : next + count + 2
    return end <= bytes.length ? end : -1
  }
  if (!'*>~%'.includes(type)) return next
  let end = next
  for (let item = 0; item < count * (type === '%' ? 2 : 1); item++) {
    end = frameEnd(bytes, end)
    if (end < 0) return -1
  }
  return end
}
