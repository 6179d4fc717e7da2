import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { createCache } from '@wattle/cache'
import { newId, reservationRoutes, type Id, type Payment } from '@wattle/contracts'
import { migrate, openDatabase } from '@wattle/database'
import {
  bearerAuthentication,
  generateSigningKey,
  internalTokens,
  internalTokenVerifier,
  localKeys,
  readSigningKeys,
} from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import {
  baseConfig,
  createCircuits,
  createClient,
  createLogger,
  createRegistry,
  loadConfig,
} from '@wattle/service'
import { startDatabase, startRedis } from '@wattle/testkit'
import { Type } from 'typebox'
import { buildPayment } from '../src/app.ts'
import { janitorRound } from '../src/janitor/janitor.ts'
import type { Loop } from '../src/loop.ts'
import { reserveThrough } from '../src/payment/billing.ts'
import type { Processor } from '../src/processor/processor.ts'
import { readSecrets } from '../src/processor/standard-webhooks.ts'
import { startCallbackSender } from '../src/sandbox/callback-sender.ts'
import { createSandbox } from '../src/sandbox/sandbox.ts'
import type { DB } from '../src/schema.ts'
import type { Timing } from '../src/timing.ts'
import { startBillingFixture } from './billing-fixture.ts'

export const migrations = fileURLToPath(new URL('../migrations', import.meta.url))
export const secret = `whsec_${Buffer.from('x'.repeat(32)).toString('base64')}`
export const secrets = readSecrets(secret)

/** Short, so that tests are quick; nothing is right because of them. */
export const quick: Partial<Timing> = {
  processorTimeoutMs: 300,
  askAfterMs: 500,
  chargeAgainForMs: 60_000,
  claimMs: 2_000,
}

type Method = 'GET' | 'POST'
export type Reply = {
  status: number
  headers: Record<string, unknown>
  body: Record<string, unknown>
}

/** What the service stands on: its database, Redis, billing, and the gateway's tokens. */
async function startOutside() {
  const [postgres, redisServer, billing] = await Promise.all([
    startDatabase({ service: 'payment', migrations, migrate }),
    startRedis(),
    startBillingFixture(),
  ])
  const gateway = internalTokens({ keys: readSigningKeys(generateSigningKey()) })
  return { postgres, redisServer, billing, gateway }
}
export type Outside = Awaited<ReturnType<typeof startOutside>>

/** The payment service on a real PostgreSQL and Redis, with billing as a fixture, called as the gateway would call it. */
export async function startPayment(
  options: {
    timing?: Partial<Timing>
    settleMs?: number
    /** Puts itself between the service and the sandbox. */
    around?: (sandbox: Processor) => Processor
    /** Of another copy of the service, to run beside it. */
    outside?: Outside
    /** Runs before billing is asked; may wait. */
    beforeReserve?: () => Promise<unknown>
    redisIsAway?: boolean
    /** Adds to the app before it listens. */
    add?: (parts: Pick<PaymentWorld, 'app' | 'cache' | 'plan' | 'database'>) => void
  } = {},
) {
  const outside = options.outside ?? (await startOutside())
  const { postgres, redisServer, billing, gateway } = outside
  const config = loadConfig(Type.Object({ ...baseConfig }), {
    WATTLE_ENV: 'test',
    WATTLE_SERVICE_PORT: '0',
    WATTLE_LOG_LEVEL: 'trace',
  })
  const logLines: string[] = []
  const destination = { write: (line: string) => void logLines.push(line) }
  const log = createLogger({ name: 'payment', config, destination })
  const registry = createRegistry('payment')
  const database = openDatabase<DB>({ url: postgres.url, name: 'payment', poolSize: 20, log })
  const sandboxDatabase = openDatabase<DB>({ url: postgres.url, name: 'sandbox', poolSize: 5, log })
  const redis = connectRedis({ url: redisServer.url, name: 'payment', log })
  const keys = keySpace({ environment: 'test', service: 'payment' })
  const cache = createCache({ redis, keys, log, registry })
  if (options.redisIsAway !== true) await redis.whenReady(5_000)

  const people = bearerAuthentication(
    internalTokenVerifier({ keys: localKeys(gateway.jwks), service: 'payment' }),
  )
  const circuits = createCircuits({ registry, log })
  const client = createClient(reservationRoutes, {
    baseUrl: billing.baseUrl,
    service: 'billing',
    circuits,
  })
  const sandbox = createSandbox({
    database: sandboxDatabase,
    secrets,
    settleMs: options.settleMs ?? 300,
    latencyMs: 0,
    now: Date.now,
    random: Math.random,
  })
  const {
    app,
    janitor,
    cache: plan,
  } = await buildPayment({
    config,
    database,
    redis,
    cache,
    log,
    registry,
    circuits,
    processor: options.around?.(sandbox) ?? sandbox,
    reserveFor: (request) => async (payment) => {
      await options.beforeReserve?.()
      return reserveThrough(client, () => 'token')(request)(payment)
    },
    authenticate: (request) =>
      request.headers['x-test-service'] === undefined
        ? people(request)
        : Promise.resolve({ service: 'operations', roles: [] }),
    timing: { ...quick, ...options.timing },
  })
  options.add?.({ app, cache, plan, database })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })

  const loops: Loop[] = []
  /** Delivers the sandbox's callbacks; to this service where nothing else is said. */
  function startCallbacks(
    url: () => string | undefined = () => `${address}/processors/sandbox/callbacks`,
  ): void {
    loops.push(
      startCallbackSender({
        database: sandboxDatabase,
        url,
        secret: secrets[0],
        everyMs: 20,
        log,
        now: Date.now,
        random: Math.random,
      }),
    )
  }

  async function send(
    method: Method,
    path: string,
    request: { headers?: Record<string, string>; body?: unknown } = {},
  ): Promise<Reply> {
    const { headers = {}, body } = request
    const reply = await fetch(`${address}${path}`, {
      method,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await reply.text()
    return {
      status: reply.status,
      headers: Object.fromEntries(reply.headers),
      body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
    }
  }

  /** A person, new where none is named, and what they can do. */
  function person(userId: Id<'usr'> = newId('usr')) {
    const tokenId = newId('tok')
    const authorization = () =>
      `Bearer ${gateway.tokenFor({ userId, roles: [], tokenId }, 'payment')}`
    const get = (path: string) => send('GET', path, { headers: { authorization: authorization() } })
    const post = (path: string, body?: unknown, key: string = randomUUID()) =>
      send('POST', path, {
        headers: { authorization: authorization(), 'idempotency-key': key },
        body,
      })
    return {
      userId,
      authorization,
      get,
      post,
      /** Creates a payment of a new bill (or of `billId`) and returns it; throws when it is refused. */
      async create(changes: Record<string, unknown> = {}, key?: string): Promise<Payment> {
        const billId = changes['billId'] ?? billing.addBill(userId).id
        const wanted = { amountMinor: 100, currency: 'NGN', instrument: 'test_success' }
        const reply = await post('/payments', { ...wanted, ...changes, billId }, key)
        if (reply.status !== 201) throw new Error(JSON.stringify(reply))
        return reply.body as Payment
      },
      confirm: (paymentId: string, key?: string) =>
        post(`/payments/${paymentId}/confirm`, undefined, key),
      cancel: (paymentId: string, key?: string) =>
        post(`/payments/${paymentId}/cancel`, undefined, key),
      refund: (paymentId: string, amountMinor: unknown, key?: string) =>
        post(`/payments/${paymentId}/refunds`, { amountMinor }, key),
      async payment(paymentId: string): Promise<Payment> {
        return (await get(`/payments/${paymentId}`)).body as Payment
      },
    }
  }

  let learnt = 0
  /** Lets billing learn of the events that were stored since. */
  async function deliverEvents(): Promise<void> {
    const rows = await postgres.query(
      'select id, type, payload from outbox where id > $1 order by id',
      [learnt],
    )
    for (const row of rows) {
      billing.learn(row as unknown as Parameters<typeof billing.learn>[0])
      learnt = Number(row['id'])
    }
  }

  const eventsOf = async (paymentId: string) =>
    (
      await postgres.query('select type from outbox where subject = $1 order by version', [
        paymentId,
      ])
    ).map(({ type }) => type)

  const verify = () => send('GET', '/ledger/verify', { headers: { 'x-test-service': 'yes' } })

  /** Makes this payment and its refunds due now, and runs the janitor over what is due. */
  async function janitorNow(paymentId: unknown): Promise<void> {
    for (const [table, column] of [
      ['payments', 'id'],
      ['refunds', 'payment_id'],
    ]) {
      await postgres.query(
        `update ${table} set next_attempt_at = now() - interval '1 day'
         where ${column} = $1 and next_attempt_at is not null`,
        [paymentId],
      )
    }
    await janitorRound(janitor)
  }

  async function stop(): Promise<void> {
    await Promise.all(loops.map((loop) => loop.stop()))
    await app.close()
    await client.close()
    cache.close()
    await redis.close()
    await Promise.all([database.close(), sandboxDatabase.close()])
    if (options.outside) return
    await billing.stop()
    await Promise.all([redisServer.stop(), postgres.drop()])
  }

  return {
    address,
    app,
    billing,
    cache,
    database,
    deliverEvents,
    eventsOf,
    janitor,
    janitorNow,
    keys,
    logLines,
    outside,
    person,
    plan,
    postgres,
    redis,
    redisServer,
    registry,
    sandbox,
    send,
    startCallbacks,
    stop,
    verify,
  }
}

export type PaymentWorld = Awaited<ReturnType<typeof startPayment>>
export type Person = ReturnType<PaymentWorld['person']>
