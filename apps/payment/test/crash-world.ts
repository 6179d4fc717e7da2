import { setTimeout as delay } from 'node:timers/promises'
import { migrate, openDatabase } from '@wattle/database'
import { generateSigningKey, internalTokens, publishJwks, readSigningKeys } from '@wattle/identity'
import { startDatabase, startRedis } from '@wattle/testkit'
import Fastify from 'fastify'
import type { DB } from '../src/schema.ts'
import { startBillingFixture } from './billing-fixture.ts'
import { createCopy, type Copy } from './copies.ts'
import type { Random } from '@wattle/testkit'
import { migrations, secret } from './world.ts'

/** Copies of the service as processes, and what they stand on, which stays up. */
export async function startCrashWorld(copyCount: number) {
  const [postgres, redis, billing] = await Promise.all([
    startDatabase({ service: 'payment', migrations, migrate }),
    startRedis(),
    startBillingFixture(),
  ])
  const onTheWay = () => delay(Math.random() * 150)
  Object.assign(billing.hooks, { before: onTheWay, after: onTheWay })
  const database = openDatabase<DB>({
    url: postgres.url,
    name: 'crash-test',
    connectionTimeoutMs: 10_000,
  })
  const gateway = internalTokens({ keys: readSigningKeys(generateSigningKey()) })
  const jwks = Fastify()
  publishJwks(jwks, gateway.jwks)
  const jwksUrl = await jwks.listen({ host: '127.0.0.1', port: 0 })
  const env = {
    WATTLE_ENV: 'test',
    WATTLE_SERVICE_PORT: '0',
    DATABASE_URL_PAYMENT: postgres.url,
    WATTLE_REDIS_CACHE_URL: redis.url,
    WATTLE_REDIS_STATE_URL: redis.url,
    WATTLE_EVENT_REPLICAS: '0',
    WATTLE_INTERNAL_JWKS_URL: `${jwksUrl}/.well-known/jwks.json`,
    WATTLE_BILLING_URL: billing.baseUrl,
    WATTLE_SERVICE_SIGNING_KEY: generateSigningKey(),
    WATTLE_PROCESSOR_SECRET: secret,
    WATTLE_PROCESSOR_TIMEOUT_MS: '800',
    WATTLE_SANDBOX_SETTLE_MS: '700',
    // Most of the time of a payment is spent where a crash hurts.
    WATTLE_SANDBOX_LATENCY_MS: '250',
    WATTLE_PAYMENT_CONFIRM_WITHIN_MS: '9000',
    WATTLE_PAYMENT_CHARGE_AGAIN_MS: '4000',
    WATTLE_PAYMENT_JANITOR_EVERY_MS: '200',
  }
  const fatal: string[] = []
  const copies = Array.from({ length: copyCount }, () =>
    createCopy(env, (line) => fatal.push(line)),
  )
  await Promise.all(copies.map((copy) => copy.start()))

  const known = new Set<string>()
  /** Lets billing learn of the events that were stored since. */
  async function teachBilling(): Promise<void> {
    const rows = await database.kysely
      .selectFrom('outbox')
      .select(['event_id', 'type', 'payload'])
      .orderBy('id')
      .execute()
    for (const { event_id: id, type, payload } of rows) {
      if (known.has(id)) continue
      known.add(id)
      try {
        billing.learn({ type, payload: payload as Record<string, unknown> })
      } catch (error) {
        fatal.push(String(error))
      }
    }
  }
  const teaching = new AbortController()
  const taught = (async () => {
    while (!teaching.signal.aborted) {
      // On a busy machine this connection too may time out; the next round has it all.
      await teachBilling().catch(() => {})
      await delay(50)
    }
  })()

  return {
    billing,
    copies,
    database,
    /** What the copies logged as fatal, and what billing could not make sense of. */
    fatal,
    gateway,
    postgres,
    /** Billing knows all that has happened. */
    async finishTeaching(): Promise<void> {
      teaching.abort()
      await taught
      await teachBilling()
    },
    async stop(): Promise<void> {
      teaching.abort()
      await Promise.all(copies.map((copy) => copy.kill()))
      await taught
      await Promise.all([database.close(), billing.stop(), jwks.close()])
      await Promise.all([redis.stop(), postgres.drop()])
    },
  }
}

export type CrashWorld = Awaited<ReturnType<typeof startCrashWorld>>

/**
 * Kills and freezes copies at random until it is over, one after another, so that at least one is there; in the end all
 * are there again. Returns how often it did.
 */
export async function havoc(
  copies: readonly Copy[],
  random: Random,
  isOver: () => boolean,
): Promise<{ kills: number; freezes: number }> {
  const counts = { kills: 0, freezes: 0 }
  const healthy = new Set(copies)
  const recovering = new Set<Promise<void>>()

  async function killed(copy: Copy): Promise<void> {
    counts.kills += 1
    await copy.kill()
    await delay(random.below(300))
    await copy.start()
  }
  async function frozen(copy: Copy): Promise<void> {
    counts.freezes += 1
    copy.freeze()
    await delay(200 + random.below(3_500))
    copy.thaw()
  }

  while (!isOver()) {
    await delay(50 + random.below(400))
    if (healthy.size < 2) continue
    const copy = random.pick([...healthy])
    healthy.delete(copy)
    const recovery = (random.chance(0.6) ? killed(copy) : frozen(copy)).then(() => {
      healthy.add(copy)
      recovering.delete(recovery)
    })
    recovering.add(recovery)
  }
  await Promise.all(recovering)
  return counts
}
