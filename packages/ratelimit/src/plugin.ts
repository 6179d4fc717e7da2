import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@wattle/contracts'
import type { KeyPart } from '@wattle/redis'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { byAddress, clientAddress, type ClientAddress } from './address.ts'
import { limitHeaders } from './headers.ts'
import type { Decision, Limit, Priority } from './limit.ts'
import type { RateLimits } from './limits.ts'
import type { Policy } from './policy.ts'
import { presets, type Preset } from './presets.ts'

/** A limit as a route uses it. */
export type RouteLimit = {
  readonly limit: Limit<FastifyRequest>
  readonly cost?: number | ((request: FastifyRequest) => number)
  readonly priority?: (request: FastifyRequest) => Priority
  /** What stays counted: all (default), only requests that failed (status 400 and above), or only those that did not. */
  readonly count?: 'all' | 'failed' | 'successful'
  /** When it is decided: before the body is read (`onRequest`, default, after the route is authenticated) or after. */
  readonly at?: 'onRequest' | 'preHandler'
}

/** What a route says: a preset, a limit of its own, or none. */
export type RouteLimitChoice = Preset | RouteLimit | false

export type RateLimitPluginOptions = {
  readonly limits: RateLimits
  /** The limit of a route; where it is not given: `config.rateLimit` of the route, else the preset `default`. */
  readonly limitOf?: (route: RouteOptions) => RouteLimitChoice | undefined
  /** Whom the presets count; where it is not given: the address of the client. */
  readonly keyOf?: (request: FastifyRequest) => KeyPart
  /** See `clientAddress`; none is trusted by default. */
  readonly trustedProxies?: readonly string[]
  /** Instead of the presets' own policies. */
  readonly policies?: Readonly<Partial<Record<Preset, Policy>>>
  /** For the presets: see `withoutRedis` of a limit. */
  readonly withoutRedis?: 'local' | 'closed'
}

declare module 'fastify' {
  interface FastifyContextConfig {
    rateLimit?: RouteLimitChoice
  }
  interface FastifyRequest {
    /** Decided by the limit of the route, once it was. */
    rateLimitDecision?: Decision | undefined
  }
  interface FastifyInstance {
    /** The address that limits count by, behind trusted proxies. */
    clientAddress: ClientAddress
  }
}

/**
 * Limits routes. Register it before them. A request over its limit gets 429, one that cannot be decided 503, both as
 * an AppError with `Retry-After`; every limited reply carries the headers of `limitHeaders`.
 */
export const rateLimit = fp(register, { name: '@wattle/ratelimit', fastify: '5.x' })

async function register(app: FastifyInstance, options: RateLimitPluginOptions): Promise<void> {
  const { limits, trustedProxies, withoutRedis = 'local' } = options
  const limitOf = options.limitOf ?? ((route) => route.config?.rateLimit ?? 'default')
  const addressOf = clientAddress(trustedProxies)
  const keyOf = options.keyOf ?? ((request) => byAddress(addressOf(request)))
  const ofPresets = new Map<Preset, RouteLimit>()

  app.decorate('clientAddress', addressOf)
  app.decorateRequest('rateLimitDecision', undefined)
  app.addHook('onRoute', (route) => {
    const choice = limitOf(route)
    if (choice === undefined || choice === false) return
    const routeLimit = typeof choice === 'string' ? presetLimit(choice) : choice
    const { at = 'onRequest', count = 'all' } = routeLimit
    // A new array each: Fastify makes the HEAD route of a GET route from the same options.
    route[at] = [...[route[at] ?? []].flat(), enforce(routeLimit)] as never
    if (count !== 'all') {
      route.onResponse = [...[route.onResponse ?? []].flat(), takeBack(routeLimit, count)] as never
    }
  })

  function presetLimit(preset: Preset): RouteLimit {
    const known = ofPresets.get(preset)
    if (known !== undefined) return known
    const policy = options.policies?.[preset] ?? presets[preset]
    const made = { limit: limits.define(preset, { policy, key: keyOf, withoutRedis }) }
    ofPresets.set(preset, made)
    return made
  }
}

function enforce({ limit, cost = 1, priority }: RouteLimit) {
  const isPlain = cost === 1 && priority === undefined
  const take = (request: FastifyRequest) =>
    isPlain
      ? limit.take(request)
      : limit.take(request, {
          cost: typeof cost === 'function' ? cost(request) : cost,
          ...(priority === undefined ? {} : { priority: priority(request) }),
        })
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const decision = await take(request)
    request.rateLimitDecision = decision
    reply.headers(limitHeaders(limit.name, decision))
    if (!decision.allowed) throw refusal(decision)
    if (decision.waitMs > 0) await delay(decision.waitMs)
  }
}

function takeBack({ limit }: RouteLimit, count: 'failed' | 'successful') {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const decision = request.rateLimitDecision
    const failed = reply.statusCode >= 400
    if (decision?.allowed && failed !== (count === 'failed')) await limit.refund(decision)
  }
}

function refusal({ decidedBy, retryAfterMs }: Decision): AppError {
  const retryAfterSeconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  if (decidedBy === 'nobody') {
    return new AppError('UNAVAILABLE', 'Limits cannot be checked at the moment; try again.', {
      retryAfterSeconds,
    })
  }
  const unit = retryAfterSeconds === 1 ? 'second' : 'seconds'
  return new AppError(
    'TOO_MANY_REQUESTS',
    `Too many requests; try again in ${retryAfterSeconds} ${unit}.`,
    { retryAfterSeconds },
  )
}
