import { createConnection } from 'node:net'
import type pg from 'pg'

/** What pg keeps of a connection for this purpose; its types leave it out. */
type ConnectedClient = pg.ClientBase & {
  host: string
  port: number
  processID: number | null
  secretKey: number | null
}

const cancelRequestCode = 80877102

/**
 * Asks the server to stop the statement that this connection runs, by a CancelRequest of the wire protocol on a
 * connection of its own, as libpq does. No answer comes: the statement fails with 57014, or was finished already, and
 * the request may even hit the next statement, so the connection is to be thrown away afterwards.
 */
export function cancelStatement(client: pg.ClientBase): void {
  const { host, port, processID, secretKey } = client as ConnectedClient
  if (processID === null || secretKey === null) return
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(cancelRequestCode, 4)
  request.writeInt32BE(processID, 8)
  request.writeInt32BE(secretKey, 12)
  const socket = host.startsWith('/')
    ? createConnection({ path: `${host}/.s.PGSQL.${port}` })
    : createConnection({ host, port })
  socket.unref()
  socket.setTimeout(1_000, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.end(request)
}
