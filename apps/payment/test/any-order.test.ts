import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { signatureHeaders } from '../src/processor/standard-webhooks.ts'
import { instruments } from '../src/sandbox/instruments.ts'
import { secrets, startPayment, type PaymentWorld, type Person } from './world.ts'

/** Everything that can happen to one payment, in any order and at the same time. */
const step = fc.oneof(
  fc.constant({ do: 'confirm' as const }),
  fc.constant({ do: 'cancel' as const }),
  fc.constant({ do: 'janitor' as const }),
  fc.record({ do: fc.constant('refund' as const), amountMinor: fc.integer({ min: 1, max: 120 }) }),
  fc.record({ do: fc.constant('callback' as const), isTrue: fc.boolean() }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

let world: PaymentWorld
beforeAll(async () => {
  world = await startPayment({
    settleMs: 40,
    timing: { processorTimeoutMs: 60, chargeAgainForMs: 120 },
  })
})
afterAll(() => world.stop())

/** A callback about what the processor has decided; one that is not true yet is sent before it is. */
async function callBack(paymentId: string, isTrue: boolean): Promise<void> {
  const [charge] = await world.postgres.query(
    'select outcome, amount_minor::int as amount from sandbox_charges where key = $1',
    [paymentId],
  )
  if (isTrue && charge === undefined) return
  const type = isTrue && charge?.['outcome'] === 'succeeded' ? 'succeeded' : 'failed'
  const body = JSON.stringify({
    type: isTrue ? `charge.${type}` : 'charge.pending',
    chargeKey: paymentId,
    currency: 'NGN',
    amountMinor: charge?.['amount'] ?? 100,
  })
  const headers = signatureHeaders(secrets[0], { id: randomUUID(), body, nowMs: Date.now() })
  await fetch(`${world.address}/processors/sandbox/callbacks`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body,
  })
}

async function take(person: Person, paymentId: string, step: Step): Promise<void> {
  if (step.do === 'confirm') await person.confirm(paymentId)
  else if (step.do === 'cancel') await person.cancel(paymentId)
  else if (step.do === 'refund') await person.refund(paymentId, step.amountMinor)
  else if (step.do === 'callback') await callBack(paymentId, step.isTrue)
  else await world.janitorNow(paymentId)
}

async function settled(person: Person, paymentId: string): Promise<void> {
  for (let rounds = 0; rounds < 100; rounds++) {
    const open = await world.postgres.query(
      `select from payments where id = $1 and next_attempt_at is not null
       union all select from refunds where payment_id = $1 and next_attempt_at is not null`,
      [paymentId],
    )
    if (open.length === 0) return
    await world.janitorNow(paymentId)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(
    `${paymentId} does not come to rest: ${JSON.stringify(await person.payment(paymentId))}`,
  )
}

describe('S2 whatever happens to a payment, in whatever order', () => {
  test(
    'it comes to rest, is charged and refunded as it says, and the ledger agrees',
    { timeout: 120_000 },
    async () => {
      const seed = Number(process.env['ORDER_SEED'] ?? Date.now() % 1_000_000)
      console.log(`any order: seed ${seed}`)
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...Object.keys(instruments)),
          fc.boolean(),
          fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 }),
          async (instrument, hasCoupon, waves) => {
            const person = world.person()
            const bill = world.billing.addBill(person.userId, 100)
            const coupon = hasCoupon ? { couponCode: 'TWENTY' } : {}
            const { id } = await person.create({ billId: bill.id, instrument, ...coupon })
            for (const wave of waves) await Promise.all(wave.map((one) => take(person, id, one)))
            await settled(person, id)

            const [row] = await world.postgres.query(
              `select state::text, charge_minor::int as charge, refunded_minor::int as refunded,
                (select coalesce(sum(amount_minor), 0)::int from sandbox_charges
                  where key = payments.id and outcome = 'succeeded') as taken,
                (select coalesce(sum(amount_minor), 0)::int from sandbox_refunds
                  where charge_key = payments.id and outcome = 'succeeded') as given
              from payments where id = $1`,
              [id],
            )
            expect(row?.['taken']).toBe(row?.['state'] === 'succeeded' ? row['charge'] : 0)
            expect(row?.['given']).toBe(row?.['refunded'])
            const [ending, ...refunds] = await world.eventsOf(id)
            expect(ending).toBe(`payment.${String(row?.['state'])}`)
            expect(new Set(refunds).size).toBeLessThanOrEqual(1)
            await world.deliverEvents()
            expect(bill.reservedMinor).toBe(0)
            expect(bill.paidMinor).toBe(
              row?.['state'] === 'succeeded' ? 100 - Number(row['refunded']) : 0,
            )
          },
        ),
        { seed, numRuns: Number(process.env['ORDER_RUNS'] ?? 60) },
      )
      expect((await world.verify()).body).toMatchObject({ balanced: true, findings: [] })
    },
  )
})
