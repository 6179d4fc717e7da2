import { hkdfSync } from 'node:crypto'
import { personal, type KeyPart } from '@wattle/redis'
import {
  byAddress,
  clientAddress,
  presets,
  scaledBy,
  slidingCounter,
  tokenBucket,
  type Preset,
  type Policy,
  type RateLimitPluginOptions,
  type RateLimits,
  type RouteLimit,
  type RouteLimitChoice,
} from '@wattle/ratelimit'
import type { FastifyRequest } from 'fastify'

/** What the gateway needs to limit. */
export type GatewayLimits = {
  readonly rateLimits: RateLimits
  /** Every limit times this; 1. */
  readonly scale?: number
  readonly trustedProxies?: readonly string[]
}

/**
 * Which route has which limit: the page to open first. Routes are named as in the contracts; what is not listed has the
 * preset `default`, by person, or by address where nobody is signed in. See docs/limits.md.
 */
const choices: Readonly<Record<string, 'login' | 'register' | 'refresh' | 'callbacks' | Preset>> = {
  login: 'login',
  register: 'register',
  // Sends a mail, and is counted like an attempt to open an account.
  forgotPassword: 'register',
  refresh: 'refresh',
  listProviders: 'search',
  // These tell whether a guess is right: a meter number gives a name, a code a discount.
  linkAccount: 'search',
  previewCoupon: 'search',
  takeCallback: 'callbacks',
}

/** Processors send what happened in bursts, from few addresses, and signed. */
const callbacks = tokenBucket({ limit: 3_000, windowMs: 60_000 })
/** A token of 256 bits is not guessed; this bounds work. Everybody behind one address refreshes every 15 minutes. */
const refreshes = tokenBucket({ limit: 1_500, windowMs: 60_000 })
/** Over all accounts that are tried from one address, which may be that of a whole office: ten times as many guesses. */
const guessesOfAddress = slidingCounter({ limit: 50, windowMs: 15 * 60_000 })

/** The options of the plugin. Throws RangeError where the scale makes a limit that cannot be. */
export function gatewayLimits(options: GatewayLimits): RateLimitPluginOptions {
  const { rateLimits, scale = 1, trustedProxies = [] } = options
  const addressOf = clientAddress(trustedProxies)
  const address = (request: FastifyRequest): KeyPart => byAddress(addressOf(request))
  const times = (policy: Policy) => scaledBy(policy, scale)

  /**
   * Guesses at one account, and at many, from one address. No counter belongs to an account alone: else whoever knows
   * somebody's e-mail address could lock them out from anywhere.
   */
  const guesses = (name: string, count: RouteLimit['count']): RouteLimit => ({
    limit: rateLimits.define<FastifyRequest>(name, {
      levels: [
        {
          name: 'account',
          policy: times(presets.auth),
          key(request) {
            const account = accountOf(request)
            return account === undefined ? undefined : [personal(account), address(request)]
          },
        },
        { name: 'address', policy: times(guessesOfAddress), key: address },
      ],
      withoutRedis: 'local',
    }),
    count: count ?? 'all',
    // The account stands in the body.
    at: 'preHandler',
  })
  const own: Readonly<Record<string, RouteLimit>> = {
    // Who signs in is not counted; who fails is.
    login: guesses('login', 'failed'),
    register: guesses('register', 'all'),
    refresh: {
      limit: rateLimits.define('refresh', { policy: times(refreshes), key: address }),
    },
    callbacks: {
      limit: rateLimits.define('callbacks', { policy: times(callbacks), key: address }),
    },
  }

  return {
    limits: rateLimits,
    trustedProxies,
    keyOf: (request) => request.principal?.userId ?? address(request),
    policies: Object.fromEntries(
      Object.entries(presets).map(([name, policy]) => [name, times(policy)]),
    ),
    limitOf({ config }): RouteLimitChoice {
      // Probes, metrics and documents are no routes of a contract.
      if (config?.contract === undefined) return false
      const choice = choices[config.contract.name] ?? 'default'
      return own[choice] ?? (choice as Preset)
    },
  }
}

/** The account that a request to sign in or up is about, as written by the user service's own rule. */
function accountOf({ body }: FastifyRequest): string | undefined {
  if (!Buffer.isBuffer(body)) return undefined
  try {
    const { email } = JSON.parse(body.toString()) as { email?: unknown }
    return typeof email === 'string' ? email.trim().toLowerCase() : undefined
  } catch {
    return undefined
  }
}

/**
 * What hashes addresses and accounts in keys: made of the key that all copies share anyway. After that is replaced, all
 * count from zero.
 */
export function personalSecretFrom(signingKey: string): string {
  const secret = hkdfSync('sha256', signingKey, '', 'wattle gateway: keys of limits', 32)
  return Buffer.from(secret).toString('base64url')
}
