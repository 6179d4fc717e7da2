import { randomInt } from 'node:crypto'
import { eventually } from '@wattle/testkit'
import type { Selectable } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { verifyLedger } from '../src/ledger/verify.ts'
import type { DB } from '../src/schema.ts'
import { crashClients } from './crash-clients.ts'
import { havoc, startCrashWorld, type CrashWorld } from './crash-world.ts'
import { randomFrom } from '@wattle/testkit'

/**
 * Clients pay while copies of the service are killed and frozen at random. What is random comes from the seed; the
 * moments at which processes die do not. CRASH_SEED and CRASH_SECONDS choose another run or a longer one.
 */
const seed = Number(process.env['CRASH_SEED'] ?? randomInt(1_000_000))
const seconds = Number(process.env['CRASH_SECONDS'] ?? 12)
const clientCount = 24
const calmMs = 30_000
const timeout = seconds * 1_000 + 120_000

let world: CrashWorld
beforeAll(async () => {
  world = await startCrashWorld(3)
})
afterAll(() => world.stop())

describe('S2 while the service is killed and frozen at random', () => {
  test(
    `bills are charged once and nothing is lost (seed ${seed}, ${seconds} s)`,
    { timeout },
    async () => {
      const random = randomFrom(seed)
      const endsAt = performance.now() + seconds * 1_000
      const isOver = () => performance.now() > endsAt
      const clients = crashClients(world, random)
      const people = Array.from({ length: clientCount }, clients.newClient)
      const [faults] = await Promise.all([
        havoc(world.copies, random, isOver),
        ...people.map((person) => clients.pay(person, isOver)),
      ])

      const calmSince = performance.now()
      await eventually(everythingIsAtRest, { withinMs: calmMs, everyMs: 250 })
      const calmedMs = Math.round(performance.now() - calmSince)
      await world.finishTeaching()

      const payments = await world.database.kysely.selectFrom('payments').selectAll().execute()
      const states = Object.entries(Object.groupBy(payments, ({ state }) => state))
      console.log(
        `crash test, seed ${seed}, ${seconds} s: ${payments.length} payments ` +
          `(${states.map(([state, of]) => `${of.length} ${state}`).join(', ')}), ` +
          `${clients.requests()} requests, ${faults.kills} kills, ${faults.freezes} freezes, ` +
          `at rest after ${calmedMs} ms of calm`,
      )
      expect(payments.length).toBeGreaterThan(0)
      expect(faults.kills + faults.freezes).toBeGreaterThan(0)
      expect(world.fatal).toEqual([])

      const limit = AbortSignal.timeout(10_000)
      const verification = await verifyLedger(world.database.kysely, limit)
      expect(verification).toMatchObject({ balanced: true, findings: [] })
      await theProcessorTookWhatPaymentsSay(payments)
      await everyPaymentEndedOnce(payments)
      billingAgrees(payments)
      answersWereTheSameAndHold(payments, clients.answers.values())
      for (const person of people) {
        const theirs = payments
          .filter((row) => row.user_id === person.userId && row.reservation === 'reserved')
          .map(({ id }) => id)
        expect((await clients.history(person)).toSorted()).toEqual(theirs.toSorted())
      }
      const exitCodes = await Promise.all(world.copies.map((copy) => copy.stop()))
      expect(exitCodes).toEqual([0, 0, 0])
    },
  )
})

type PaymentRow = Selectable<DB['payments']>

async function everythingIsAtRest(): Promise<void> {
  const open = await world.postgres.query(
    `select id, state::text from payments where next_attempt_at is not null
     union all select id, state::text from refunds where next_attempt_at is not null
     union all select event_id, 'not sent' from outbox where sent_at is null`,
  )
  expect(open).toEqual([])
}

/** One charge for each payment that succeeded, of its amount; one refund for each that was given. */
async function theProcessorTookWhatPaymentsSay(payments: readonly PaymentRow[]): Promise<void> {
  const sums = async (text: string) =>
    new Map((await world.postgres.query(text)).map(({ key, sum }) => [key, sum]))
  const taken = await sums(
    `select key, amount_minor::int as sum from sandbox_charges where outcome = 'succeeded'`,
  )
  const given = await sums(
    `select charge_key as key, sum(amount_minor)::int as sum from sandbox_refunds
     where outcome = 'succeeded' group by charge_key`,
  )
  const paid = payments.filter(({ state }) => state === 'succeeded')
  const charged = paid.filter((row) => row.charge_minor > 0)
  expect(taken).toEqual(new Map(charged.map((row) => [row.id, row.charge_minor])))
  const refunded = paid.filter((row) => row.refunded_minor > 0)
  expect(given).toEqual(new Map(refunded.map((row) => [row.id, row.refunded_minor])))
}

async function everyPaymentEndedOnce(payments: readonly PaymentRow[]): Promise<void> {
  const endings = await world.postgres.query(
    `select subject, type from outbox where type <> 'payment.refunded' order by subject`,
  )
  expect(endings).toEqual(
    payments
      .map(({ id, state }) => ({ subject: id, type: `payment.${state}` }))
      .toSorted((a, b) => (a.subject < b.subject ? -1 : 1)),
  )
}

/** No bill is paid over, every hold has ended, and billing knows of every success and refund. */
function billingAgrees(payments: readonly PaymentRow[]): void {
  const byBill = Object.groupBy(payments, (row) => row.bill_id)
  for (const bill of world.billing.bills.values()) {
    const paid = (byBill[bill.id] ?? []).filter(({ state }) => state === 'succeeded')
    const paidMinor = paid.reduce((sum, row) => sum + row.amount_minor - row.refunded_minor, 0)
    expect(bill).toMatchObject({ reservedMinor: 0, paidMinor })
    expect(paidMinor).toBeLessThanOrEqual(bill.totalMinor)
  }
  for (const { state } of world.billing.holds.values()) expect(state).not.toBe('reserved')
}

/** All that were answered for one key were told the same, and what they were told is found, and still true. */
function answersWereTheSameAndHold(
  payments: readonly PaymentRow[],
  answers: ReturnType<typeof crashClients>['answers'] extends Map<string, infer A>
    ? Iterable<A>
    : never,
): void {
  const byId = new Map(payments.map((row) => [row.id, row]))
  for (const { userId, texts, last } of answers) {
    expect([...texts]).toHaveLength(1)
    const { id, paymentId, state } = last.body
    if (typeof id !== 'string') continue
    const row = byId.get(typeof paymentId === 'string' ? paymentId : id)
    expect(row).toMatchObject({ user_id: userId, reservation: 'reserved' })
    const isFinal =
      paymentId === undefined && ['succeeded', 'failed', 'canceled'].includes(String(state))
    if (isFinal) expect(row?.state).toBe(state)
  }
}
