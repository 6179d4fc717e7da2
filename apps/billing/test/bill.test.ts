import { newId, type Bill, type BillSummary } from '@wattle/contracts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { account, bill, untilHit } from './fixtures.ts'
import { startBilling, type BillingWorld, type Person } from './world.ts'

let world: BillingWorld
let person: Person
let mine: BillSummary
beforeAll(async () => {
  world = await startBilling()
  person = world.person()
  await account(world.database, person, [
    bill('2026-09-01', { paidMinor: 400, dueDate: '2026-11-30' }),
    bill('2026-10-01', { lifecycle: 'draft', issuedAt: null }),
  ])
  const [first] = (await person.get('/bills')).json<{ items: BillSummary[] }>().items
  if (!first) throw new Error('the bill is not listed')
  mine = first
})
afterAll(() => world.stop())

describe('S3 one bill', () => {
  test('is what the list says, with its lines in order, which add up to the total', async () => {
    const reply = await person.get(`/bills/${mine.id}`)
    expect(reply.statusCode).toBe(200)
    const found = reply.json<Bill>()
    const { lines, ...summary } = found
    expect(summary).toEqual(mine)
    expect(lines).toEqual([
      { kind: 'usage', description: 'Energy', amountMinor: 900 },
      { kind: 'tax', description: 'VAT', amountMinor: 100 },
    ])
    expect(found).toMatchObject({ state: 'partially_paid', totalMinor: 1_000, paidMinor: 400 })
  })

  test('comes from the cache the second time, and says so', async () => {
    const reply = await untilHit(() => person.get(`/bills/${mine.id}`))
    const ttl = Number(reply.headers['x-cache-ttl'])
    expect(ttl).toBeGreaterThan(500)
    expect(ttl).toBeLessThanOrEqual(600)
  })

  test("someone else's is answered like one that does not exist, cached or not", async () => {
    await untilHit(() => person.get(`/bills/${mine.id}`))
    const other = world.person()
    const foreign = await other.get(`/bills/${mine.id}`)
    const absent = await other.get(`/bills/${newId('bil')}`)
    expect([foreign.statusCode, absent.statusCode]).toEqual([404, 404])
    const { requestId: _, ...foreignProblem } = foreign.json<Record<string, unknown>>()
    const { requestId: __, ...absentProblem } = absent.json<Record<string, unknown>>()
    expect(foreignProblem).toEqual(absentProblem)
    expect(foreignProblem).toMatchObject({ code: 'NOT_FOUND' })
  })

  test('a draft is answered like one that does not exist', async () => {
    const [draft] = await world.postgres.query(`select id from bills where lifecycle = 'draft'`)
    expect((await person.get(`/bills/${String(draft?.['id'])}`)).statusCode).toBe(404)
  })

  test.each(['1', 'bil_1', `bil_' or true`, newId('usr'), newId('bil').toUpperCase()])(
    'under the id %s is a 400 that names it',
    async (id) => {
      const reply = await person.get(`/bills/${encodeURIComponent(id)}`)
      expect(reply.statusCode).toBe(400)
      expect(reply.json()).toMatchObject({ errors: [{ in: 'params', field: 'billId' }] })
    },
  )
})
