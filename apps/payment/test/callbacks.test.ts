import { randomUUID } from 'node:crypto'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readSecrets, signatureHeaders, toleranceMs } from '../src/processor/standard-webhooks.ts'
import { secrets, startPayment, type PaymentWorld, type Person } from './world.ts'

let world: PaymentWorld
let person: Person
beforeAll(async () => {
  world = await startPayment()
  world.startCallbacks()
})
afterAll(() => world.stop())
beforeEach(() => {
  person = world.person()
})

const path = '/processors/sandbox/callbacks'
type Message = { chargeKey: string; type?: string; amountMinor?: number; currency?: string }

/** Sends a callback as the processor would, but for the changes. */
async function callBack(
  { chargeKey, type = 'charge.succeeded', amountMinor = 100, currency = 'NGN' }: Message,
  changes: {
    id?: string
    atMs?: number
    secret?: Buffer
    headers?: Record<string, string | undefined>
    body?: string
  } = {},
): Promise<{ status: number; code: unknown }> {
  const body = JSON.stringify({ type, chargeKey, amountMinor, currency })
  const { id = `msg_${randomUUID()}`, atMs = Date.now(), secret = secrets[0] } = changes
  const headers = Object.entries({
    'content-type': 'application/json',
    ...signatureHeaders(secret, { id, body, nowMs: atMs }),
    ...changes.headers,
  }).filter((header): header is [string, string] => header[1] !== undefined)
  const reply = await fetch(`${world.address}${path}`, {
    method: 'POST',
    headers,
    body: changes.body ?? body,
  })
  const text = await reply.text()
  const problem = text === '' ? {} : (JSON.parse(text) as { code?: unknown })
  return { status: reply.status, code: problem.code }
}

/** A payment of which only a callback can tell the outcome. */
async function unknownPayment() {
  const payment = await person.create({ instrument: 'test_timeout_never_received' })
  expect((await person.confirm(payment.id)).body).toMatchObject({ state: 'unknown' })
  return payment
}
const stateOf = async (id: string) => (await person.payment(id)).state

describe('S2 a callback', () => {
  test('settles a payment, once, however often it comes', async () => {
    const payment = await unknownPayment()
    const id = `msg_${randomUUID()}`
    const replies = await Promise.all(
      Array.from({ length: 6 }, () => callBack({ chargeKey: payment.id }, { id })),
    )
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([204]))
    expect((await callBack({ chargeKey: payment.id })).status).toBe(204)
    expect(await stateOf(payment.id)).toBe('succeeded')
    expect(await world.eventsOf(payment.id)).toEqual(['payment.succeeded'])
  })

  test('may come before the charge call has returned', async () => {
    const patient = await startPayment({
      outside: world.outside,
      settleMs: 1_500,
      timing: { processorTimeoutMs: 4_000 },
    })
    try {
      const payment = await person.create({ instrument: 'test_callback_before_answer' })
      let hasReturned = false
      const confirming = patient
        .person(person.userId)
        .confirm(payment.id)
        .finally(() => (hasReturned = true))
      await eventually(async () => {
        const [charge] = await world.postgres.query('select from sandbox_charges where key = $1', [
          payment.id,
        ])
        expect(charge).toBeDefined()
      })
      expect((await callBack({ chargeKey: payment.id })).status).toBe(204)
      expect(await stateOf(payment.id)).toBe('succeeded')
      expect(hasReturned).toBe(false)
      expect((await confirming).body).toMatchObject({ state: 'succeeded' })
      expect(await world.eventsOf(payment.id)).toEqual(['payment.succeeded'])
    } finally {
      await patient.stop()
    }
  })

  test.each(['test_late_success', 'test_duplicate_callback', 'test_out_of_order_callback'])(
    'leads %s to success, with one event and a balanced ledger',
    async (instrument) => {
      const payment = await person.create({ instrument })
      await person.confirm(payment.id)
      await eventually(async () => {
        const left = await world.postgres.query(
          'select from sandbox_callbacks where charge_key = $1 and delivered_at is null',
          [payment.id],
        )
        expect(left).toEqual([])
        expect(await stateOf(payment.id)).toBe('succeeded')
      })
      expect(await world.eventsOf(payment.id)).toEqual(['payment.succeeded'])
      expect((await world.verify()).body['findings']).toEqual([])
    },
  )

  test('that says less than is known changes nothing', async () => {
    const payment = await person.create()
    await person.confirm(payment.id)
    expect((await callBack({ chargeKey: payment.id, type: 'charge.pending' })).status).toBe(204)
    expect(await stateOf(payment.id)).toBe('succeeded')
  })

  test('is sent again by the sandbox until it was taken', async () => {
    const other = await startPayment()
    try {
      const someone = other.person()
      let misses = 0
      const nobody = 'http://127.0.0.1:9/'
      const address = `${other.address}${path}`
      other.startCallbacks(() => (misses++ < 2 ? nobody : address))
      const payment = await someone.create({ instrument: 'test_late_success' })
      await someone.confirm(payment.id)
      await eventually(async () => {
        expect(await someone.payment(payment.id)).toMatchObject({ state: 'succeeded' })
      })
    } finally {
      await other.stop()
    }
  })
})

describe('S2 a callback is refused, and has no effect,', () => {
  const other = readSecrets(`whsec_${Buffer.from('y'.repeat(32)).toString('base64')}`)[0]
  const hour = 3_600_000
  test.each<[string, Parameters<typeof callBack>[1]]>([
    ['signed with another secret', { secret: other }],
    ['that is not signed', { headers: { 'webhook-signature': undefined } }],
    ['without an id', { headers: { 'webhook-id': undefined } }],
    ['without a time', { headers: { 'webhook-timestamp': undefined } }],
    ['with another id than was signed', { headers: { 'webhook-id': 'msg_other' } }],
    ['with another time than was signed', { headers: { 'webhook-timestamp': '1700000000' } }],
    ['whose body was changed', { body: '{"type":"charge.succeeded"}' }],
    ['whose body has a space more', { body: ' {}' }],
    ['of five minutes ago', { atMs: Date.now() - toleranceMs - 2_000 }],
    ['of an hour ago', { atMs: Date.now() - hour }],
    ['of in an hour', { atMs: Date.now() + hour }],
    ['with a signature of another scheme', { headers: { 'webhook-signature': 'v2,AAAA' } }],
    ['with an empty signature', { headers: { 'webhook-signature': 'v1,' } }],
    ['with a malformed time', { headers: { 'webhook-timestamp': '1e9' } }],
    ['with a malformed id', { headers: { 'webhook-id': 'a b' } }],
  ])('%s', async (_, changes) => {
    const payment = await unknownPayment()
    const reply = await callBack({ chargeKey: payment.id }, changes)
    expect(reply).toEqual({ status: 401, code: 'SIGNATURE_INVALID' })
    expect(await stateOf(payment.id)).toBe('unknown')
  })

  test('signed, with content that is none', async () => {
    for (const type of ['charge.refunded', 'constructor']) {
      const reply = await callBack({ chargeKey: 'pay_1', type })
      expect(reply).toEqual({ status: 400, code: 'VALIDATION_FAILED' })
    }
    expect((await fetch(`${world.address}${path}`, { method: 'POST' })).status).toBe(400)
    const elsewhere = path.replace('sandbox', 'another')
    expect(
      (await fetch(`${world.address}${elsewhere}`, { method: 'POST', body: '{}' })).status,
    ).toBe(404)
  })

  test.each<[string, Omit<Message, 'chargeKey'>]>([
    ['for another amount', { amountMinor: 99 }],
    ['for another currency', { currency: 'USD' }],
  ])('signed, but %s: it is noted for a person', async (_, change) => {
    const payment = await unknownPayment()
    expect((await callBack({ chargeKey: payment.id, ...change })).status).toBe(204)
    expect(await stateOf(payment.id)).toBe('unknown')
    expect((await world.verify()).body['findings']).toContainEqual(
      expect.stringContaining(payment.id),
    )
  })

  test('signed, but against what the processor said before: it is noted for a person', async () => {
    const declined = await person.create({ instrument: 'test_declined' })
    await person.confirm(declined.id)
    const canceled = await person.create()
    await person.cancel(canceled.id)
    for (const { id } of [declined, canceled]) {
      const before = await person.payment(id)
      expect((await callBack({ chargeKey: id })).status).toBe(204)
      expect(await person.payment(id)).toEqual(before)
      expect((await world.verify()).body['findings']).toContainEqual(expect.stringContaining(id))
    }
  })

  test('signed, for a payment that is not ours', async () => {
    expect((await callBack({ chargeKey: 'pay_elsewhere' })).status).toBe(204)
  })
})

describe('S2 the secret of callbacks', () => {
  test('is replaced with overlap', () => {
    const [first, second] = ['a', 'b'].map(
      (letter) => `whsec_${Buffer.from(letter.repeat(32)).toString('base64')}`,
    )
    expect(readSecrets(`${first} ${second}`)).toHaveLength(2)
  })

  test.each(['', 'secret', 'whsec_', 'whsec_c2hvcnQ=', 'whsec_!!!!'])(
    'is refused when it is %j, without being shown',
    (text) => {
      expect(() => readSecrets(text)).toThrow(/^must be whsec_ and/)
    },
  )
})
