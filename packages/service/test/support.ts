import { connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { Type, type Static } from 'typebox'
import { AppError, defineRoute, idSchema, type ProblemDocument } from '@wattle/contracts'
import {
  addRoute,
  baseConfig,
  createLogger,
  createService,
  loadConfig,
  type BaseConfig,
  type Principal,
  type ServiceOptions,
} from '@wattle/service'

const closed = { additionalProperties: false }

export const Note = Type.Object({
  id: idSchema('evt'),
  title: Type.String(),
  amountMinor: Type.Integer(),
})
export type Note = Static<typeof Note>

/** Contracts of a small service with every kind of input. */
export const noteRoutes = {
  listNotes: defineRoute({
    name: 'listNotes',
    method: 'GET',
    path: '/notes',
    summary: 'Notes',
    auth: 'public',
    query: Type.Object(
      {
        limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
        open: Type.Optional(Type.Boolean()),
        kind: Type.Optional(Type.Enum(['short', 'long'])),
        since: Type.Optional(Type.String({ format: 'date' })),
        tag: Type.Optional(Type.Array(Type.String({ maxLength: 10 }), { maxItems: 3 })),
      },
      closed,
    ),
    replies: { 200: Type.Object({ items: Type.Array(Note), received: Type.Unknown() }) },
  }),
  getNote: defineRoute({
    name: 'getNote',
    method: 'GET',
    path: '/notes/:noteId',
    summary: 'A note',
    auth: 'public',
    params: Type.Object({ noteId: idSchema('evt') }, closed),
    replies: { 200: Note },
    errors: ['NOT_FOUND'],
  }),
  writeNote: defineRoute({
    name: 'writeNote',
    method: 'POST',
    path: '/notes',
    summary: 'Write a note',
    auth: 'public',
    body: Type.Object(
      {
        title: Type.String({ minLength: 1, maxLength: 50 }),
        email: Type.Optional(Type.String({ format: 'email' })),
        password: Type.Optional(Type.String({ minLength: 10, pattern: '^[a-z ]+$' })),
        amountMinor: Type.Optional(Type.Integer({ minimum: 0 })),
        phone: Type.Optional(
          Type.Union([
            Type.String({ pattern: '^\\+[0-9]{7,15}$', description: 'E.164' }),
            Type.Null(),
          ]),
        ),
        lines: Type.Optional(
          Type.Array(
            Type.Object({ kind: Type.Enum(['a', 'b']), amountMinor: Type.Integer() }, closed),
          ),
        ),
      },
      closed,
    ),
    replies: { 201: Note },
  }),
  removeNote: defineRoute({
    name: 'removeNote',
    method: 'DELETE',
    path: '/notes/:noteId',
    summary: 'Remove a note',
    auth: 'user',
    params: Type.Object({ noteId: idSchema('evt') }, closed),
    replies: { 204: Type.Null() },
  }),
} as const

export const noteId = 'evt_0190a5a0-0000-7000-8000-000000000000'
export const note: Note = { id: noteId, title: 'a note', amountMinor: 125 }

export function testConfig(env: Record<string, string> = {}): BaseConfig {
  return loadConfig(Type.Object(baseConfig), {
    WATTLE_ENV: 'test',
    WATTLE_SERVICE_PORT: '0',
    ...env,
  })
}

export type TestApp = AsyncDisposable & {
  readonly app: FastifyInstance
  readonly port: number
  readonly url: string
  /** The log so far, one parsed line each. */
  readonly lines: Record<string, unknown>[]
}

/** A listening service; `routes` adds to it. */
export async function startApp(
  routes: (app: FastifyInstance) => void = () => undefined,
  options: Partial<ServiceOptions> & { env?: Record<string, string> } = {},
): Promise<TestApp> {
  const { env, ...serviceOptions } = options
  const config = testConfig(env)
  const lines: Record<string, unknown>[] = []
  const log = createLogger({
    name: 'notes',
    config,
    destination: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  })
  const app = await createService({
    name: 'notes',
    version: '1.2.3',
    config,
    log,
    authenticate: authenticateByHeader,
    ...serviceOptions,
  })
  routes(app)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as { port: number }
  return {
    app,
    port,
    url: `http://127.0.0.1:${port}`,
    lines,
    [Symbol.asyncDispose]: () => app.close(),
  }
}

/** `Bearer usr_…`, `Bearer operator`, `Bearer service`. */
async function authenticateByHeader(request: {
  headers: { authorization?: string | undefined }
}): Promise<Principal> {
  const token = request.headers.authorization?.replace('Bearer ', '')
  if (token === undefined) throw new AppError('UNAUTHENTICATED', 'Send a token.')
  if (token === 'service') return { service: 'billing', roles: [] }
  return { userId: 'usr_1', roles: token === 'operator' ? ['operator'] : [] }
}

/** The note service with plain handlers. */
export function addNoteRoutes(app: FastifyInstance): void {
  addRoute(app, noteRoutes.listNotes, ({ query }) => ({ items: [note], received: query }))
  addRoute(app, noteRoutes.getNote, () => note)
  addRoute(app, noteRoutes.writeNote, ({ body }) => ({ ...note, title: body.title }))
  addRoute(app, noteRoutes.removeNote, () => null)
}

export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly problem: ProblemDocument
  readonly text: string
}

/** One request by fetch; `problem` is the parsed body. */
export async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init)
  const text = await response.text()
  const problem = (text.startsWith('{') ? JSON.parse(text) : {}) as ProblemDocument
  return { status: response.status, headers: response.headers, problem, text }
}

export function postJson(
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers = {},
): Promise<Answer> {
  return ask(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

/** Sends bytes over a fresh connection and resolves to all that comes back before it is closed. */
export function sendRaw(port: number, bytes: string | Uint8Array): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let received = ''
  const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
  socket.setTimeout(10_000, () => socket.destroy(new Error(`no end after: ${received}`)))
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => (received += chunk))
  socket.on('error', reject)
  socket.on('close', () => resolve(received))
  return promise
}

/** Splits a raw HTTP/1.1 answer. */
export function parseRaw(text: string): { status: number; head: string; problem: ProblemDocument } {
  const [head = '', body = ''] = text.split('\r\n\r\n', 2)
  return {
    status: Number(head.split(' ')[1]),
    head,
    problem: JSON.parse(body) as ProblemDocument,
  }
}
