import { checkSchemaTypes, migrate } from '@wattle/database'
import { checkEventMigrations } from '@wattle/events'
import { startDatabase } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '@wattle/contracts'
import { migrations } from './world.ts'

let postgres: Awaited<ReturnType<typeof startDatabase>>
beforeAll(async () => {
  postgres = await startDatabase({ service: 'payment', migrations, migrate })
})
afterAll(() => postgres.drop())

describe('the database of the payment service', () => {
  test('has the types that the code believes', async () => {
    const file = new URL('../src/schema.ts', import.meta.url)
    await expect(checkSchemaTypes({ url: postgres.ownerUrl, file })).resolves.toBeUndefined()
  })

  test('has the tables of the events package', () => {
    expect(() => checkEventMigrations(migrations, ['outbox', 'inbox'])).not.toThrow()
  })
})

const states = [
  'requires_confirmation',
  'processing',
  'unknown',
  'succeeded',
  'failed',
  'canceled',
] as const
const allowed = new Set([
  'requires_confirmation processing',
  'requires_confirmation canceled',
  'processing unknown',
  'processing succeeded',
  'processing failed',
  'unknown succeeded',
  'unknown failed',
])
const atRest = (state: string) => ['succeeded', 'failed', 'canceled'].includes(state)
const reasonOf = (state: string) => (state === 'failed' || state === 'canceled' ? `'why'` : 'null')

/** A payment in this state, put there by the allowed steps. */
async function paymentIn(state: (typeof states)[number]): Promise<string> {
  const id = newId('pay')
  await postgres.query(`insert into payments
    (id, user_id, bill_id, currency, amount_minor, instrument, correlation_id, next_attempt_at,
     reservation, provider_id)
    values ('${id}', 'usr_1', 'bil_1', 'NGN', 100, 'test', 'req_1', now(), 'reserved', 'prv_1')`)
  if (state === 'canceled') await move(id, 'canceled')
  else if (state !== 'requires_confirmation') {
    await move(id, 'processing')
    if (state !== 'processing') await move(id, state)
  }
  return id
}

const move = (id: string, state: string) =>
  postgres.query(`update payments set state = '${state}', confirmed_at = coalesce(confirmed_at, now()),
    next_attempt_at = ${atRest(state) ? 'null' : 'now()'}, failure_reason = ${reasonOf(state)}
    where id = '${id}'`)

describe('S2 the database itself', () => {
  test.each(states.flatMap((from) => states.map((to) => [from, to] as const)))(
    'lets a payment go from %s to %s only where the diagram has an arrow',
    async (from, to) => {
      const id = await paymentIn(from)
      const moving = move(id, to)
      if (from === to || allowed.has(`${from} ${to}`)) await expect(moving).resolves.toBeDefined()
      else await expect(moving).rejects.toThrow(/does not go from/)
    },
  )

  test.each([
    ['leaves an open payment without a time to look at it', 'next_attempt_at = null'],
    ['changes an amount', 'amount_minor = 5'],
    ['gives a payment to someone else', `user_id = 'usr_2'`],
    ['changes a discount after the hold', 'discount_minor = 5'],
    ['forgets a hold', `reservation = 'pending'`],
    ['holds a refund of what was not paid', 'refunding_minor = 1'],
  ])('refuses a change that %s', async (_, change) => {
    const id = await paymentIn('requires_confirmation')
    await expect(
      postgres.query(`update payments set ${change} where id = '${id}'`),
    ).rejects.toThrow(/payment_|does not change/)
  })

  test.each([
    ['more than was paid', 'refunded_minor = 101'],
    ['more than was paid, with what is under way', 'refunded_minor = 60, refunding_minor = 41'],
    ['a negative amount', 'refunded_minor = -1'],
  ])('refuses to give back %s', async (_, change) => {
    const id = await paymentIn('succeeded')
    await expect(
      postgres.query(`update payments set ${change} where id = '${id}'`),
    ).rejects.toThrow(/payment_refunds|amount_minor_range/)
  })
})
