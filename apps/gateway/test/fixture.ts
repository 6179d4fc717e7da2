import { once } from 'node:events'
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net'
import { defineRoute, idSchema } from '@wattle/contracts'
import {
  accessTokenKind,
  createSigner,
  generateSigningKey,
  internalTokenVerifier,
  localKeys,
  readSigningKeys,
  type KeySource,
  type TokenIdentity,
  type Verdict,
} from '@wattle/identity'
import { baseConfig, createLogger, loadConfig } from '@wattle/service'
import { Type } from 'typebox'
import { onTestFinished } from 'vitest'
import { buildGateway, type GatewayDeps } from '../src/app.ts'
import type { Routes } from '../src/routes.ts'

const Anything = Type.Unsafe<unknown>({})
const closed = { additionalProperties: false }

/** Contracts of a service that exists for these tests only, with a route of each kind. */
export const fixtureRoutes = {
  open: defineRoute({
    name: 'open',
    method: 'GET',
    path: '/open',
    summary: 'For anyone',
    auth: 'public',
    replies: { 200: Anything },
  }),
  hasty: defineRoute({
    name: 'hasty',
    method: 'GET',
    path: '/hasty',
    summary: 'For anyone who has no time',
    auth: 'public',
    replies: { 200: Anything },
    deadlineMs: 700,
  }),
  write: defineRoute({
    name: 'write',
    method: 'POST',
    path: '/things',
    summary: 'For a person',
    auth: 'user',
    body: Type.Object({}, closed),
    replies: { 200: Anything, 201: Anything },
    deadlineMs: 1_500,
  }),
  read: defineRoute({
    name: 'read',
    method: 'GET',
    path: '/things/:thingId',
    summary: 'For a person',
    auth: 'user',
    params: Type.Object({ thingId: idSchema('bil') }, closed),
    replies: { 200: Anything },
  }),
  spend: defineRoute({
    name: 'spend',
    method: 'POST',
    path: '/spendings',
    summary: 'For a person whose token is known to be good',
    auth: 'user',
    whenUnknown: 'closed',
    body: Type.Object({}, closed),
    replies: { 200: Anything },
  }),
  operate: defineRoute({
    name: 'operate',
    method: 'GET',
    path: '/operate',
    summary: 'For operators',
    auth: 'operator',
    replies: { 200: Anything },
  }),
  inside: defineRoute({
    name: 'inside',
    method: 'POST',
    path: '/inside',
    summary: 'For services',
    auth: 'service',
    replies: { 200: Anything },
  }),
}

export const userId = 'usr_01936b0e-7c1a-7000-8000-000000000001'
/** Whom access tokens speak for. */
export const holder = {
  userId,
  sessionId: 'ses_01936b0e-7c1a-7000-8000-000000000003',
  familyId: 'fam_01936b0e-7c1a-7000-8000-000000000004',
} as const
export const thingId = 'bil_01936b0e-7c1a-7000-8000-000000000002'

export type Seen = {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}
export type Answer = (request: IncomingMessage, response: ServerResponse) => void

export const json =
  (value: unknown, headers: Record<string, string | string[]> = {}, status = 200): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(value))
  }

/** The gateway on a port of its own, before a service whose every answer the test holds in its hand. */
export async function startFixture(
  options: Partial<
    Pick<GatewayDeps, 'circuits' | 'corsOrigins' | 'inboxUrl' | 'limits' | 'now'>
  > & {
    accessKeys?: KeySource
    /** What is exposed, by service; all of it at the one server of the test. */
    services?: Readonly<Record<string, Routes>>
    /** Instead of the HTTP server: bytes for whoever connects. */
    onConnection?: (socket: Socket) => void
  } = {},
) {
  const { accessKeys, onConnection, services = { fixture: fixtureRoutes }, ...deps } = options
  const fixture = {
    answer: json({ ok: true }),
    seen: [] as Seen[],
    /** What the view of revocations says of a token. */
    verdictOf: (_token: TokenIdentity): Verdict => 'valid',
  }
  const server =
    onConnection === undefined
      ? createServer((request, response) => {
          let body = ''
          request.on('data', (chunk: Buffer) => (body += chunk.toString()))
          const { method = '', url = '', headers } = request
          request.on('end', () => fixture.seen.push({ method, url, headers, body }))
          fixture.answer(request, response)
        })
      : createTcpServer(onConnection)
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
  })
  const upstreamUrl = await listen(server)

  const userKeys = readSigningKeys(generateSigningKey())
  const signingKeys = readSigningKeys(generateSigningKey())
  const config = loadConfig(Type.Object({ ...baseConfig }), {
    WATTLE_ENV: 'test',
    WATTLE_SERVICE_PORT: '0',
    WATTLE_LOG_LEVEL: 'trace',
  })
  const logLines: string[] = []
  const destination = { write: (line: string) => void logLines.push(line) }
  const app = await buildGateway({
    config,
    log: createLogger({ name: 'gateway', config, destination }),
    services: Object.entries(services).map(([name, routes]) => ({
      name,
      url: upstreamUrl,
      routes,
    })),
    accessKeys: accessKeys ?? localKeys(userKeys.jwks),
    revocations: {
      check: (token) => fixture.verdictOf(token),
      trustedUntilMs: () => Infinity,
      size: 0,
    },
    signingKeys,
    ...deps,
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })

  const authorization = (roles: readonly string[] = [], keys = userKeys) => {
    const sign = createSigner({
      keys,
      kind: accessTokenKind,
      ...(deps.now ? { now: deps.now } : {}),
    })
    return `Bearer ${sign({ ...holder, roles }, accessTokenKind.audience).token}`
  }

  /** Ends what was accepted and accepts nothing more. */
  async function stopUpstream(): Promise<void> {
    server.close()
    for (const socket of sockets) socket.destroy()
    await once(server, 'close')
  }

  return Object.assign(fixture, {
    app,
    authorization,
    internal: internalTokenVerifier({ keys: localKeys(signingKeys.jwks), service: 'fixture' }),
    logLines,
    signingKeys,
    sockets,
    stopUpstream,
    upstreamUrl,
    url,
    userKeys,
    call: (path: string, init: CallInit = {}) => call(url, path, init),
    async stop(): Promise<void> {
      await app.close()
      if (server.listening) await stopUpstream()
    },
  })
}

export type Fixture = Awaited<ReturnType<typeof startFixture>>

/** One for a test, which ends with it. */
export async function startForTest(...options: Parameters<typeof startFixture>): Promise<Fixture> {
  const gateway = await startFixture(...options)
  onTestFinished(() => gateway.stop())
  return gateway
}

type CallInit = {
  method?: string
  headers?: Record<string, string | string[]>
  body?: string | Buffer
  signal?: AbortSignal
}

/** A request with its path sent as it is written: `fetch` would resolve dots and slashes first. */
export async function call(url: string, path: string, init: CallInit = {}) {
  const { method = 'GET', headers = {}, body, signal } = init
  const { hostname, port } = new URL(url)
  const request = httpRequest({
    hostname,
    port,
    path,
    method,
    headers,
    agent: false,
    ...(signal ? { signal } : {}),
  })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text,
    json: () => JSON.parse(text) as Record<string, unknown>,
  }
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
