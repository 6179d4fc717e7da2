import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'

/** Makes a server on a Unix socket reachable on a TCP port of loopback, where faults of TCP can be put in its way. */
export async function startTcpBridge(path: string) {
  const server = createServer((client) => {
    const upstream = connect({ path })
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
    client.pipe(upstream).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    host: '127.0.0.1',
    port,
    async stop() {
      server.close()
      await once(server, 'close')
    },
  }
}
