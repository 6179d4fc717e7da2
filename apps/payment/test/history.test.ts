import { newId, type Payment } from '@wattle/contracts'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startPayment, type PaymentWorld, type Person } from './world.ts'

let world: PaymentWorld
let person: Person
beforeAll(async () => {
  world = await startPayment()
})
afterAll(() => world.stop())
beforeEach(() => {
  person = world.person()
})

async function some(count: number, changes: Record<string, unknown> = {}): Promise<Payment[]> {
  const made: Payment[] = []
  for (let n = 0; n < count; n++) made.push(await person.create(changes))
  return made.toReversed()
}
type Page = { items: Payment[]; nextCursor: string | null }
const page = async (query = '') => (await person.get(`/payments${query}`)).body as Page
const ids = (items: readonly Payment[]) => items.map(({ id }) => id)

describe('S2 the history of payments', () => {
  test('comes in pages, the latest first, each payment once, also while new ones are made', async () => {
    const made = await some(7)
    const seen: Payment[] = []
    let cursor: string | null = null
    do {
      const after: string = cursor === null ? '' : `&cursor=${cursor}`
      const { items, nextCursor } = await page(`?limit=3${after}`)
      seen.push(...items)
      cursor = nextCursor
      await person.create()
    } while (cursor !== null)
    expect(ids(seen)).toEqual(ids(made))
  })

  test('is filtered by state, bill and time', async () => {
    const [latest, middle, first] = await some(3)
    await person.confirm(middle?.id ?? '')
    expect(ids((await page('?state=succeeded')).items)).toEqual([middle?.id])
    expect(ids((await page(`?billId=${first?.billId}`)).items)).toEqual([first?.id])
    const from = encodeURIComponent(middle?.createdAt ?? '')
    const to = encodeURIComponent(latest?.createdAt ?? '')
    const between = ids((await page(`?from=${from}`)).items)
    expect(between).toContain(latest?.id)
    expect(ids((await page(`?to=${to}`)).items)).not.toContain(latest?.id)
    expect(
      ids((await page(`?from=${to}&to=${encodeURIComponent('2999-01-01T00:00:00Z')}`)).items),
    ).toContain(latest?.id)
  })

  test('of a cursor of another list, or none at all, is refused', async () => {
    await some(2)
    const { nextCursor } = await page('?limit=1')
    const other = world.person()
    for (const reply of [
      await other.get(`/payments?limit=1&cursor=${nextCursor}`),
      await person.get(`/payments?limit=1&state=failed&cursor=${nextCursor}`),
      await person.get('/payments?cursor=AAAA'),
      await person.get(`/payments?cursor=${nextCursor}x`),
    ]) {
      expect(reply).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } })
      expect(JSON.stringify(reply.body['errors'])).toContain('cursor')
    }
  })

  test.each([
    '?limit=0',
    '?limit=101',
    '?limit=ten',
    '?state=lost',
    '?from=yesterday',
    '?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z',
    `?billId=${newId('pay')}`,
    '?unknown=1',
  ])('with %s is refused with a problem document that names the field', async (query) => {
    const reply = await person.get(`/payments${query}`)
    expect(reply).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } })
    const field = /\?(\w+)=/.exec(query)?.[1] ?? ''
    expect(JSON.stringify(reply.body['errors'])).toContain(query.includes('&to=') ? 'to' : field)
  })

  test('shows no payment that billing did not hold', async () => {
    const bill = world.billing.addBill(person.userId, 10)
    const refused = {
      billId: bill.id,
      amountMinor: 11,
      currency: 'NGN',
      instrument: 'test_success',
    }
    expect((await person.post('/payments', refused)).status).toBe(409)
    expect((await page()).items).toEqual([])
  })
})

describe('S2 the cached lists', () => {
  test('are read from the cache the second time, and are right after every change', async () => {
    const payment = await person.create()
    const lists = ['/payments', '/payments/recent']
    const statesSeen = async () => {
      const states = []
      for (const path of lists) {
        const { items } = (await person.get(path)).body as Page
        states.push(items[0]?.state, items[0]?.refundedMinor)
      }
      return states
    }
    for (const path of lists) {
      await eventually(async () => {
        expect((await person.get(path)).headers['x-cache-status']).toBe('HIT')
      })
    }
    await person.confirm(payment.id)
    expect(await statesSeen()).toEqual(['succeeded', 0, 'succeeded', 0])
    await person.refund(payment.id, 25)
    expect(await statesSeen()).toEqual(['succeeded', 25, 'succeeded', 25])
    const next = await person.create()
    expect(await statesSeen()).toEqual(['requires_confirmation', 0, 'requires_confirmation', 0])
    await world.janitorNow(next.id)
    expect(await statesSeen()).toEqual(['canceled', 0, 'canceled', 0])
  })

  test('of recent payments are the ten latest', async () => {
    const made = await some(12)
    const { items } = (await person.get('/payments/recent')).body as Page
    expect(ids(items)).toEqual(ids(made.slice(0, 10)))
  })
})
