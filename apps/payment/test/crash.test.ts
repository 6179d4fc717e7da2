import { randomInt, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { newId, type Id, type Payment } from '@wattle/contracts'
import { migrate, openDatabase, type Database } from '@wattle/database'
import { generateSigningKey, internalTokens, publishJwks, readSigningKeys } from '@wattle/identity'
import { eventually, startDatabase, startRedis } from '@wattle/testkit'
import Fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { verifyLedger } from '../src/ledger/verify.ts'
import type { DB } from '../src/schema.ts'
import { startBillingFixture, type BillingFixture } from './billing-fixture.ts'
import { createCopy, type Copy } from './copies.ts'
import { randomFrom } from './random.ts'
import { migrations, secret } from './world.ts'

/**
 * Clients pay while copies of the service are killed and frozen at random. What is random comes from the seed; the
 * moments at which processes die do not. CRASH_SEED and CRASH_SECONDS choose another run or a longer one.
 */
const seed = Number(process.env['CRASH_SEED'] ?? randomInt(1_000_000))
const seconds = Number(process.env['CRASH_SECONDS'] ?? 12)
const clients = 24
const calmMs = 30_000

let postgres: Awaited<ReturnType<typeof startDatabase>>
let redis: Awaited<ReturnType<typeof startRedis>>
let billing: BillingFixture
let database: Database<DB>
let copies: Copy[]
const jwks = Fastify()
const gateway = internalTokens({ keys: readSigningKeys(generateSigningKey()) })
const warnings: string[] = []

beforeAll(async () => {
  ;[postgres, redis, billing] = await Promise.all([
    startDatabase({ service: 'payment', migrations, migrate }),
    startRedis(),
    startBillingFixture(),
  ])
  database = openDatabase<DB>({ url: postgres.url, name: 'crash-test' })
  publishJwks(jwks, gateway.jwks)
  const jwksUrl = await jwks.listen({ host: '127.0.0.1', port: 0 })
  const env = {
    WATTLE_ENV: 'test',
    WATTLE_SERVICE_PORT: '0',
    WATTLE_LOG_LEVEL: 'info',
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
    WATTLE_PAYMENT_CONFIRM_WITHIN_MS: '9000',
    WATTLE_PAYMENT_CHARGE_AGAIN_MS: '4000',
    WATTLE_PAYMENT_JANITOR_EVERY_MS: '200',
  }
  copies = Array.from({ length: 3 }, () => createCopy(env, (line) => warnings.push(line)))
  await Promise.all(copies.map((copy) => copy.start()))
})
afterAll(async () => {
  await Promise.all(copies.map((copy) => copy.kill()))
  await Promise.all([database.close(), billing.stop(), jwks.close()])
  await Promise.all([redis.stop(), postgres.drop()])
})

type Answer = { status: number; body: Record<string, unknown> }

describe('S2 while the service is killed and frozen at random', () => {
  test(
    `bills are charged once and nothing is lost (seed ${seed}, ${seconds} s)`,
    { timeout: seconds * 1_000 + 120_000 },
    async () => {
      console.log(`crash test: seed ${seed}, ${seconds} s`)
      const random = randomFrom(seed)
      const endsAt = performance.now() + seconds * 1_000
      const isOver = () => performance.now() > endsAt
      /** What was answered for each key; all answers of a key must be the same. */
      const answers = new Map<string, { userId: Id<'usr'>; texts: Set<string>; last: Answer }>()
      const faults = { kills: 0, freezes: 0 }
      let requests = 0

      const people = Array.from({ length: clients }, () => ({
        userId: newId('usr'),
        tokenId: newId('tok'),
      }))
      const bills = new Map(
        people.map(({ userId }) => [
          userId,
          Array.from({ length: 4 }, () => billing.addBill(userId, 1_000)),
        ]),
      )

      async function once(
        person: (typeof people)[number],
        method: string,
        path: string,
        key?: string,
        body?: unknown,
      ) {
        const address = random.pick(copies).address
        if (address === undefined) throw new Error('not there')
        requests += 1
        const token = gateway.tokenFor({ ...person, roles: [] }, 'payment')
        const reply = await fetch(`${address}${path}`, {
          method,
          headers: {
            authorization: `Bearer ${token}`,
            ...(key === undefined ? {} : { 'idempotency-key': key }),
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          signal: AbortSignal.timeout(1_500),
        })
        const text = await reply.text()
        const answer = { status: reply.status, body: JSON.parse(text) as Record<string, unknown> }
        const isDecided = answer.status < 500 && answer.body['code'] !== 'IDEMPOTENCY_IN_PROGRESS'
        if (!isDecided) throw new Error(text)
        return { answer, text: text.replace(/"requestId":"[^"]*"/, '') }
      }

      /** Repeats a request with its key until it is answered, sometimes twice at the same time. */
      async function post(
        person: (typeof people)[number],
        path: string,
        body?: unknown,
      ): Promise<Answer> {
        const key = randomUUID()
        const known = {
          userId: person.userId,
          texts: new Set<string>(),
          last: { status: 0, body: {} } as Answer,
        }
        answers.set(key, known)
        const attempt = async () => {
          const { answer, text } = await once(person, 'POST', path, key, body)
          known.texts.add(text)
          known.last = answer
        }
        for (let tries = 0; tries < 400; tries++) {
          const attempts = random.chance(0.2) ? [attempt(), attempt()] : [attempt()]
          const results = await Promise.allSettled(attempts)
          if (results.some(({ status }) => status === 'fulfilled')) return known.last
          await delay(20 + random.below(100))
        }
        throw new Error(`never answered: ${path}`)
      }

      const instruments = [
        ...Array.from({ length: 6 }, () => 'test_success'),
        'test_declined',
        'test_timeout_succeeds',
        'test_timeout_fails',
        'test_timeout_never_received',
        'test_late_success',
        'test_duplicate_callback',
        'test_out_of_order_callback',
        'test_callback_before_answer',
        'test_refund_timeout',
      ]

      async function client(person: (typeof people)[number]): Promise<void> {
        while (!isOver()) {
          const wanted = {
            billId: random.pick(bills.get(person.userId) ?? []).id,
            amountMinor: 50 + random.below(400),
            currency: 'NGN',
            instrument: random.pick(instruments),
            ...(random.chance(0.1) ? { couponCode: 'TWENTY' } : {}),
          }
          const created = await post(person, '/payments', wanted)
          if (created.status !== 201) {
            expect(created.body['code']).toBe('AMOUNT_EXCEEDS_DUE')
            bills.get(person.userId)?.push(billing.addBill(person.userId, 1_000))
            continue
          }
          const { id } = created.body as Payment
          if (random.chance(0.08)) continue
          if (random.chance(0.1)) {
            await Promise.all([
              post(person, `/payments/${id}/cancel`),
              post(person, `/payments/${id}/confirm`),
            ])
            continue
          }
          const confirmed = await post(person, `/payments/${id}/confirm`)
          if (confirmed.body['state'] !== 'succeeded' || random.chance(0.6)) continue
          const refund = () =>
            post(person, `/payments/${id}/refunds`, { amountMinor: 1 + random.below(300) })
          await Promise.all(random.chance(0.5) ? [refund(), refund()] : [refund()])
        }
      }

      /** Strikes one copy after another, so that others are there most of the time. */
      async function havoc(): Promise<void> {
        const recovering = new Set<Promise<void>>()
        const healthy = new Set(copies)
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
      }

      async function killed(copy: Copy): Promise<void> {
        faults.kills += 1
        await copy.kill()
        await delay(random.below(300))
        await copy.start()
      }

      async function frozen(copy: Copy): Promise<void> {
        faults.freezes += 1
        copy.freeze()
        await delay(200 + random.below(3_500))
        copy.thaw()
      }

      const seen = new Set<string>()
      async function teachBilling(): Promise<void> {
        const rows = await database.kysely
          .selectFrom('outbox')
          .select(['event_id', 'type', 'payload'])
          .orderBy('id')
          .execute()
        for (const { event_id: id, type, payload } of rows) {
          if (seen.has(id)) continue
          seen.add(id)
          billing.learn({ type, payload: payload as Record<string, unknown> })
        }
      }
      let isTeaching = true
      const teaching = (async () => {
        while (isTeaching) {
          await teachBilling()
          await delay(50)
        }
      })()

      await Promise.all([...people.map(client), havoc()])
      const calmSince = performance.now()

      await eventually(
        async () => {
          const open = await postgres.query(
            `select id, state, reservation, attempts, next_attempt_at from payments where next_attempt_at is not null
           union all select id, state::text::payment_state, null, attempts, next_attempt_at from refunds where next_attempt_at is not null`,
          )
          expect(open).toEqual([])
          const waiting = await postgres.query('select id from outbox where sent_at is null')
          expect(waiting).toEqual([])
        },
        { withinMs: calmMs, everyMs: 250 },
      )
      const calmedMs = performance.now() - calmSince
      isTeaching = false
      await teaching
      await teachBilling()

      const rows = await database.kysely.selectFrom('payments').selectAll().execute()
      const charges = new Map(
        (await database.kysely.selectFrom('sandbox_charges').selectAll().execute()).map((row) => [
          row.key,
          row,
        ]),
      )
      const states = Object.groupBy(rows, ({ state }) => state)
      console.log(
        `crash test: ${rows.length} payments (${Object.entries(states)
          .map(([state, of]) => `${of.length} ${state}`)
          .join(', ')}), ` +
          `${requests} requests, ${faults.kills} kills, ${faults.freezes} freezes, at rest after ${Math.round(calmedMs)} ms of calm`,
      )

      // The ledger balances, and says what the payments say.
      const verification = await verifyLedger(database.kysely, AbortSignal.timeout(10_000))
      expect(verification).toMatchObject({ balanced: true, findings: [] })

      // The processor has taken what the payments say, and nothing else.
      for (const row of rows) {
        const charge = charges.get(row.id)
        const taken = charge?.outcome === 'succeeded' ? charge.amount_minor : 0
        expect(taken, row.id).toBe(row.state === 'succeeded' ? row.charge_minor : 0)
      }
      const given = await postgres.query(
        `select charge_key, sum(amount_minor)::int as given from sandbox_refunds where outcome = 'succeeded' group by 1`,
      )
      const refunded = rows.filter((row) => row.refunded_minor > 0)
      expect(new Map(given.map((row) => [row['charge_key'], row['given']]))).toEqual(
        new Map(refunded.map((row) => [row.id, row.refunded_minor])),
      )

      // Every payment that ended told so, once.
      const endings = await postgres.query(
        `select subject, count(*)::int as n from outbox where type <> 'payment.refunded' group by subject`,
      )
      expect(endings.every(({ n }) => n === 1)).toBe(true)
      expect(endings).toHaveLength(rows.length)

      // No bill was paid over, every hold has ended, and billing knows of every success.
      for (const bill of billing.bills.values()) {
        const paid = rows
          .filter((row) => row.bill_id === bill.id && row.state === 'succeeded')
          .map((row) => row.amount_minor - row.refunded_minor)
        expect(bill.reservedMinor).toBe(0)
        expect(bill.paidMinor).toBe(paid.reduce((sum, amount) => sum + amount, 0))
        expect(bill.paidMinor).toBeLessThanOrEqual(bill.totalMinor)
      }
      for (const hold of billing.holds.values()) expect(hold.state).not.toBe('reserved')

      // Whoever was answered was answered the same, and is still right.
      const byId = new Map(rows.map((row) => [row.id, row]))
      for (const { userId, texts, last } of answers.values()) {
        expect([...texts]).toHaveLength(1)
        const id = last.body['paymentId'] ?? last.body['id']
        if (typeof id !== 'string') continue
        const row = byId.get(id)
        expect(row).toMatchObject({ user_id: userId, reservation: 'reserved' })
        const answered = last.body['state']
        if (
          id.startsWith('pay_') &&
          ['succeeded', 'failed', 'canceled'].includes(String(answered)) &&
          last.body['paymentId'] === undefined
        ) {
          expect(row?.state).toBe(answered)
        }
      }

      // Each person finds their payments.
      for (const person of people) {
        const mine = rows.filter(
          (row) => row.user_id === person.userId && row.reservation === 'reserved',
        )
        const found: string[] = []
        let cursor = ''
        do {
          const { answer } = await once(person, 'GET', `/payments?limit=100${cursor}`)
          found.push(...(answer.body['items'] as Payment[]).map(({ id }) => id))
          cursor =
            answer.body['nextCursor'] === null ? '' : `&cursor=${String(answer.body['nextCursor'])}`
        } while (cursor !== '')
        expect(found.toSorted()).toEqual(mine.map(({ id }) => id).toSorted())
      }

      const ends = await Promise.all(copies.map((copy) => copy.stop()))
      expect(ends).toEqual([0, 0, 0])
    },
  )
})
