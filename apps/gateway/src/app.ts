import cors from '@fastify/cors'
import {
  accessTokens,
  internalTokens,
  publishJwks,
  type KeyRing,
  type KeySource,
  type RevocationView,
  type SigningKeys,
} from '@wattle/identity'
import { clientAddress, rateLimit } from '@wattle/ratelimit'
import type { RedisConnection } from '@wattle/redis'
import {
  createCircuits,
  createRegistry,
  createService,
  type Circuits,
  type ServiceOptions,
} from '@wattle/service'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { authenticatePeople } from './authentication.ts'
import { addDocsPage } from './docs.ts'
import { exposeRoutes } from './expose.ts'
import { addInboxPage } from './inbox.ts'
import { gatewayLimits, type GatewayLimits } from './limits.ts'
import type { Routes } from './routes.ts'
import { sessionCheck } from './session-check.ts'
import { createUpstream } from './upstream.ts'

export type GatewayDeps = Pick<ServiceOptions, 'config' | 'log' | 'registry'> & {
  /** What is exposed, and where it is. */
  readonly services: readonly { name: string; url: string; routes: Routes }[]
  /** The user service's keys, which access tokens are checked with. */
  readonly accessKeys: KeySource
  /** Which tokens were revoked. */
  readonly revocations: Pick<RevocationView, 'check' | 'trustedUntilMs' | 'size'>
  /** Said in readiness, and no reason to be unready. */
  readonly state?: { ping(timeoutMs: number): Promise<unknown> }
  /** Where mails of this machine are shown, in development and test only. */
  readonly inboxUrl?: string
  /** The keys that sign internal tokens. */
  readonly signingKeys: SigningKeys | KeyRing
  readonly corsOrigins?: readonly string[]
  /** Without it nothing is limited. */
  readonly limits?: GatewayLimits & { readonly redis: RedisConnection }
  /** To the services; the gateway makes them where they are not given. */
  readonly circuits?: Circuits
  readonly now?: () => number
}

/** The gateway, ready to listen or to be injected into. */
export async function buildGateway(deps: GatewayDeps): Promise<FastifyInstance> {
  const { services, accessKeys, revocations, signingKeys, state, inboxUrl, ...others } = deps
  const {
    corsOrigins = [],
    limits,
    now = Date.now,
    registry = createRegistry('gateway'),
    circuits = createCircuits({ registry, ...(deps.log && { log: deps.log }) }),
    ...kit
  } = others
  const tokens = internalTokens({ keys: signingKeys, now })
  const upstreams = services.map(({ name, url, routes }) => ({
    name,
    routes,
    upstream: createUpstream({
      service: name,
      url,
      now,
      ...(limits === undefined ? {} : { addressOf: clientAddress(limits.trustedProxies) }),
      circuit: circuits.to(name, url),
      tokenFor: ({ principal }: FastifyRequest) =>
        principal?.userId === undefined || principal.tokenId === undefined
          ? undefined
          : tokens.tokenFor(
              { ...principal, userId: principal.userId, tokenId: principal.tokenId },
              name,
            ),
    }),
  }))

  const userUrl = services.find(({ name }) => name === 'user')?.url
  const sessions =
    userUrl === undefined
      ? undefined
      : sessionCheck({
          url: userUrl,
          tokenFor: (principal) => tokens.tokenFor(principal, 'user'),
          now,
        })

  const app = await createService({
    ...kit,
    registry,
    name: 'gateway',
    version: '0.1.0',
    description: 'The one way in: every public route of every service',
    authenticate: authenticatePeople({ revocations, sessions, registry }),
    // Said, but no reason to be unready: one service that is away must not take the others along.
    checks: Object.fromEntries([
      ...upstreams.map(({ name, upstream }) => [name, { required: false, check: upstream.check }]),
      ...Object.entries({ redis: limits?.redis, 'redis state': state }).flatMap(([name, one]) =>
        one === undefined ? [] : [[name, { required: false, check: () => one.ping(500) }]],
      ),
    ]),
  })
  await app.register(accessTokens, { keys: accessKeys, now })
  if (sessions !== undefined) app.addHook('onClose', () => sessions.close())
  if (corsOrigins.length > 0) await allowBrowsers(app, corsOrigins)
  if (limits) await app.register(rateLimit, gatewayLimits(limits))
  for (const { name, routes, upstream } of upstreams) {
    await exposeRoutes(app, name, routes, upstream)
    app.addHook('onClose', upstream.close)
  }
  publishJwks(app, () => tokens.jwks)
  if (inboxUrl !== undefined) addInboxPage(app, inboxUrl)
  await addDocsPage(app)
  return app
}

async function allowBrowsers(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  await app.register(cors, {
    origin: [...origins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: [
      'authorization',
      'content-type',
      'idempotency-key',
      'if-none-match',
      'if-match',
    ],
    exposedHeaders: [
      'age',
      'cache-status',
      'etag',
      'ratelimit',
      'ratelimit-policy',
      'retry-after',
      'x-cache-key',
      'x-cache-response-time',
      'x-cache-status',
      'x-cache-ttl',
      'x-ratelimit-limit',
      'x-ratelimit-remaining',
      'x-ratelimit-reset',
      'x-request-id',
    ],
    maxAge: 600,
    strictPreflight: false,
  })
}
