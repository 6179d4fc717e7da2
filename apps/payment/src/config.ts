import { readSigningKeys } from '@wattle/identity'
import { parseRedisUrl, redisUrlSchemes } from '@wattle/redis'
import { baseConfig, durationMs, loadConfig, url, type Environment } from '@wattle/service'
import { Type, type Static } from 'typebox'
import { readSecrets } from './processor/standard-webhooks.ts'
import { defaultTiming, type Timing } from './timing.ts'

const redisUrl = url(redisUrlSchemes)

const schema = Type.Object({
  ...baseConfig,
  DATABASE_URL_PAYMENT: url(['postgresql', 'postgres']),
  /** Connections at most, besides one for the event relay; copies of the service × this must stay below the server's. */
  WATTLE_DATABASE_POOL: Type.Integer({ minimum: 2, maximum: 200, default: 10 }),
  WATTLE_REDIS_CACHE_URL: redisUrl,
  WATTLE_REDIS_STATE_URL: redisUrl,
  /** Replicas of the `state` group that must have an event before it counts as sent. */
  WATTLE_EVENT_REPLICAS: Type.Integer({ minimum: 0, maximum: 5, default: 1 }),
  WATTLE_INTERNAL_JWKS_URL: url(['http', 'https']),
  WATTLE_BILLING_URL: url(['http', 'https']),
  /** Ed25519 key in PEM, by which this service shows others who it is. */
  WATTLE_SERVICE_SIGNING_KEY: Type.String({ minLength: 1 }),
  /** What callbacks of the processor are signed with: `whsec_…`, several separated by spaces while one is replaced. */
  WATTLE_PROCESSOR_SECRET: Type.String({ minLength: 1 }),
  WATTLE_PROCESSOR_TIMEOUT_MS: durationMs({ minimum: 50, maximum: 4_000, default: 3_000 }),
  /** Where the sandbox sends its callbacks; this service itself where it is not set. */
  WATTLE_SANDBOX_CALLBACK_URL: Type.Optional(url(['http', 'https'])),
  /** After which the sandbox decides on charges that settle late. */
  WATTLE_SANDBOX_SETTLE_MS: durationMs({ default: 1_500 }),
  /** The longest way of a charge or refund to the sandbox, and back; each takes a random share of it. */
  WATTLE_SANDBOX_LATENCY_MS: durationMs({ maximum: 10_000, default: 0 }),
  /** A payment that is not confirmed within this is canceled. */
  WATTLE_PAYMENT_CONFIRM_WITHIN_MS: durationMs({
    minimum: 1_000,
    default: defaultTiming.confirmWithinMs,
  }),
  /** For so long after its confirmation a charge that was never received is sent again; then it is canceled. */
  WATTLE_PAYMENT_CHARGE_AGAIN_MS: durationMs({ default: defaultTiming.chargeAgainForMs }),
  WATTLE_PAYMENT_JANITOR_EVERY_MS: durationMs({ minimum: 10, default: 500 }),
})

export type PaymentConfig = Static<typeof schema>

/** Throws ConfigError, with a sentence for each variable that is missing or wrong. */
export function paymentConfig(env: Environment = process.env): PaymentConfig {
  return loadConfig(schema, env, {
    check: {
      WATTLE_REDIS_CACHE_URL: parseRedisUrl,
      WATTLE_REDIS_STATE_URL: parseRedisUrl,
      WATTLE_SERVICE_SIGNING_KEY: readSigningKeys,
      WATTLE_PROCESSOR_SECRET: readSecrets,
    },
  })
}

/** Who waits for a call of the processor waits longer than the call may take. */
export function timingOf(config: PaymentConfig): Partial<Timing> {
  const processorTimeoutMs = config.WATTLE_PROCESSOR_TIMEOUT_MS
  return {
    processorTimeoutMs,
    askAfterMs: processorTimeoutMs + 2_000,
    claimMs: 2 * processorTimeoutMs + 2_000,
    confirmWithinMs: config.WATTLE_PAYMENT_CONFIRM_WITHIN_MS,
    chargeAgainForMs: config.WATTLE_PAYMENT_CHARGE_AGAIN_MS,
  }
}
