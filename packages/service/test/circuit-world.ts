import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppError } from '@wattle/contracts'
import { createCircuits, createClient, type CircuitsOptions } from '@wattle/service'
import { fakeClock } from '@wattle/testkit'
import { afterEach, beforeEach } from 'vitest'
import { note, noteId, noteRoutes } from './support.ts'

type Answer = (response: ServerResponse, request: IncomingMessage) => void

/** Ways to behave, for a server. */
export const well: Answer = (response, { method }) =>
  json(response, method === 'POST' ? 201 : 200, note)
export const frozen: Answer = () => undefined
export const reset: Answer = (_response, { socket }) => socket.resetAndDestroy()
export const withStatus =
  (status: number, body = ''): Answer =>
  (response) =>
    response.writeHead(status, { 'content-type': 'text/plain' }).end(body)
export const withProblem =
  (status: number, code: string): Answer =>
  (response) => {
    const body = { type: 'x', title: 'x', status, code, detail: 'The detail.', requestId: 'req_1' }
    json(response, status, body, 'application/problem+json')
  }

function json(response: ServerResponse, status: number, body: unknown, type = 'application/json') {
  response.writeHead(status, { 'content-type': type }).end(JSON.stringify(body))
}

/** A real HTTP server that behaves as the test says, and counts. */
export async function startServer(answer: Answer = well) {
  const server = createServer((request, response) => {
    state.requests++
    state.answer(response, request)
  })
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const port = await listen(0)
  const state = {
    answer,
    requests: 0,
    url: `http://127.0.0.1:${port}`,
    /** As after a kill: connections are reset, new ones refused. */
    async die(): Promise<void> {
      if (!server.listening) return
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
    restart: () => listen(port),
  }
  return state
}

export type TestServer = Awaited<ReturnType<typeof startServer>>

/** Clients of one process, whose circuits have a clock that `pass` alone moves on. */
export function startCaller(options: CircuitsOptions = {}) {
  const clock = fakeClock()
  const circuits = createCircuits({
    now: clock.now,
    random: () => 1,
    ...options,
  })
  const clients: { close(): Promise<void> }[] = []

  function clientOf(url: string, service = 'notes', deadlineMs = 5_000) {
    const { getNote, writeNote } = noteRoutes
    const routes = {
      getNote: { ...getNote, deadlineMs },
      writeNote: { ...writeNote, deadlineMs },
    } as const
    const client = createClient(routes, {
      baseUrl: url,
      service,
      circuits,
      maxConnections: 512,
      random: () => 0.01,
    })
    clients.push(client)
    return {
      write: (callOptions = {}) =>
        outcomeOf(client.writeNote({ body: { title: 'x' } }, callOptions)),
      get: () => outcomeOf(client.getNote({ params: { noteId } })),
    }
  }

  return {
    circuits,
    clientOf,
    pass: clock.advance,
    state: (service = 'notes') =>
      circuits.list().find((circuit) => circuit.service === service)?.state,
    close: () => Promise.all(clients.map((client) => client.close())),
  }
}

export type Caller = ReturnType<typeof startCaller>

export type World = {
  server: TestServer
  caller: Caller
  client: ReturnType<Caller['clientOf']>
}

/** Gives each test of the file a server, and a process with a client of it. */
export function forEachTest(
  use: (world: World) => void,
  options: () => CircuitsOptions = () => ({}),
) {
  let ending: World | undefined
  beforeEach(async () => {
    const [server, caller] = [await startServer(), startCaller(options())]
    ending = { server, caller, client: caller.clientOf(server.url) }
    use(ending)
  })
  afterEach(async () => {
    // First, since a client waits for what it has under way.
    await ending?.server.die()
    await ending?.caller.close()
  })
}

export async function times(n: number, call: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < n; i++) await call()
}

/** `answered`, or the error. */
async function outcomeOf(call: Promise<unknown>): Promise<'answered' | AppError> {
  try {
    await call
    return 'answered'
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
}

/** Calls until the circuit is open; fails when that takes more than ten times. */
export async function untilOpen(caller: Caller, call: () => Promise<unknown>): Promise<void> {
  for (let n = 0; caller.state() !== 'open'; n++) {
    if (n === 10) throw new Error('ten calls failed, and the circuit is not open')
    await call()
  }
}

export const refused = {
  code: 'UNAVAILABLE',
  message: 'The notes service is not available at the moment.',
}
