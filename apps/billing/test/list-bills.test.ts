import { newId, type BillSummary } from '@wattle/contracts'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { addDays, monthBefore } from '../src/calendar.ts'
import { account, allPages, bill, untilHit } from './fixtures.ts'
import { startBilling, startMs, type BillingWorld, type Person } from './world.ts'

const today = '2026-11-20'

let world: BillingWorld
let person: Person
beforeAll(async () => {
  world = await startBilling()
})
afterAll(() => world.stop())
beforeEach(() => {
  world.clock.set(startMs)
  person = world.person()
})

const months = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => monthBefore(today, from + index))
const list = async (query: Record<string, string> = {}, as = person) => {
  const reply = await as.get('/bills', query)
  expect(reply.statusCode).toBe(200)
  return reply.json<{ items: BillSummary[]; nextCursor: string | null }>()
}

describe('S3 the list of bills', () => {
  test('has the latest due date first, and only your own', async () => {
    await account(
      world.database,
      person,
      months(4).map((month) => bill(month)),
    )
    await account(
      world.database,
      world.person(),
      months(4).map((month) => bill(month)),
    )
    const { items, nextCursor } = await list()
    const dueDates = items.map((item) => item.dueDate)
    expect(dueDates).toEqual(months(4).map((month) => addDays(month, 45)))
    expect(nextCursor).toBeNull()
  })

  test('of someone without bills is empty', async () => {
    expect(await list()).toEqual({ items: [], nextCursor: null })
  })

  test('never shows a draft, not even when asked for drafts', async () => {
    const [month = ''] = months(1)
    await account(world.database, person, [bill(month, { lifecycle: 'draft', issuedAt: null })])
    expect((await list()).items).toEqual([])
    expect((await list({ state: 'draft' })).items).toEqual([])
  })

  test('all pages together are the whole list, whatever the size of a page', async () => {
    // three accounts with the same due dates, so that pages end between equal ones
    for (let index = 0; index < 3; index += 1) {
      await account(
        world.database,
        person,
        months(9).map((month) => bill(month)),
      )
    }
    const whole = (await list({ limit: '100' })).items
    expect(whole).toHaveLength(27)
    for (const limit of [1, 2, 7, 26, 27, 28]) {
      expect(await allPages(person, { limit: String(limit) })).toEqual(whole)
    }
  })

  test('bills that arrive while someone pages neither repeat nor hide others', async () => {
    const accounts = await Promise.all(
      Array.from({ length: 3 }, () =>
        account(
          world.database,
          person,
          months(8, 4).map((month) => bill(month)),
        ),
      ),
    )
    const before = (await list({ limit: '100' })).items.map((item) => item.id)
    const paged = await allPages(person, { limit: '5' }, async (page) => {
      // above, within and below what has been read
      const arriving = [...months(1, 3), ...months(1, 12 + page)].map((month) => bill(month))
      await accounts[page % 3]?.add(arriving)
    })
    const ids = paged.map((item) => item.id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.filter((id) => before.includes(id))).toEqual(before)
  })

  test('filters by utility, provider and due date', async () => {
    const water = await account(
      world.database,
      person,
      months(2).map((month) => bill(month)),
      {
        utility: 'water',
      },
    )
    await account(
      world.database,
      person,
      months(3).map((month) => bill(month)),
    )
    const all = (await list()).items
    const [month = '', month1 = ''] = months(2)
    const cases: [Record<string, string>, (item: BillSummary) => boolean][] = [
      [{ utility: 'water' }, (item) => item.utility === 'water'],
      [{ utility: 'gas' }, () => false],
      [{ providerId: water.providerId }, (item) => item.providerId === water.providerId],
      [{ dueFrom: addDays(month, 45) }, (item) => item.dueDate >= addDays(month, 45)],
      [{ dueTo: addDays(month1, 45) }, (item) => item.dueDate <= addDays(month1, 45)],
      [
        { utility: 'electricity', dueFrom: addDays(month1, 45), dueTo: addDays(month1, 45) },
        (item) => item.utility === 'electricity' && item.dueDate === addDays(month1, 45),
      ],
    ]
    for (const [query, matches] of cases) {
      expect((await list(query)).items).toEqual(all.filter(matches))
      expect(await allPages(person, { ...query, limit: '1' })).toEqual(all.filter(matches))
    }
  })

  test('the filter by state agrees with the state that is shown', async () => {
    const due = (days: number) => ({ dueDate: addDays(today, days) })
    const [m0 = '', m1 = '', m2 = '', m3 = '', m4 = '', m5 = '', m6 = ''] = months(7)
    await account(world.database, person, [
      bill(m0, { ...due(1) }),
      bill(m1, { ...due(0), paidMinor: 400 }),
      bill(m2, { ...due(-1) }),
      bill(m3, { ...due(-1), paidMinor: 999 }),
      bill(m4, { ...due(-1), paidMinor: 1_000 }),
      bill(m5, { ...due(-1), lifecycle: 'void' }),
      bill(m6, { ...due(1), lifecycle: 'draft', issuedAt: null }),
    ])
    const all = (await list()).items
    const byPeriod = Object.fromEntries(all.map((item) => [item.periodStart, item.state]))
    expect(byPeriod).toEqual({
      [m0]: 'open',
      [m1]: 'partially_paid',
      [m2]: 'overdue',
      [m3]: 'overdue',
      [m4]: 'paid',
      [m5]: 'void',
    })
    for (const state of ['draft', 'open', 'partially_paid', 'paid', 'overdue', 'void']) {
      const shown = all.filter((item) => item.state === state)
      expect((await list({ state })).items).toEqual(shown)
    }
  })

  test('a bill turns overdue at midnight in Lagos, also where it is cached', async () => {
    const [month = ''] = months(1)
    await account(world.database, person, [bill(month, { dueDate: today })])
    const state = async () => (await list()).items[0]?.state
    const stateAlone = async () =>
      (await person.get(`/bills/${(await list()).items[0]?.id}`)).json<BillSummary>().state
    world.clock.set(Date.parse('2026-11-20T22:59:59Z'))
    expect([await state(), await stateAlone()]).toEqual(['open', 'open'])
    world.clock.advance(1_000)
    expect([await state(), await stateAlone()]).toEqual(['overdue', 'overdue'])
    expect((await list({ state: 'overdue' })).items).toHaveLength(1)
  })

  test('the second read of the same question is a HIT with the same answer, of another a MISS', async () => {
    await account(
      world.database,
      person,
      months(3).map((month) => bill(month)),
    )
    const first = await person.get('/bills', { limit: '2' })
    expect(first.headers['x-cache-status']).toBe('MISS')
    const second = await untilHit(() => person.get('/bills', { limit: '2' }))
    expect(second.body).toBe(first.body)
    const cursor = first.json<{ nextCursor: string }>().nextCursor
    for (const query of [{ limit: '3' }, { limit: '2', state: 'open' }, { limit: '2', cursor }]) {
      expect((await person.get('/bills', query)).headers['x-cache-status']).toBe('MISS')
    }
    const other = await world.person().get('/bills', { limit: '2' })
    expect(other.headers['x-cache-status']).toBe('MISS')
  })
})

describe('S3 questions that cannot be answered are a 400 that names the field', () => {
  test.each([
    ['state', 'unpaid'],
    ['utility', 'coal'],
    ['providerId', `prv_' or 1=1 --`],
    ['providerId', newId('usr')],
    ['dueFrom', 'yesterday'],
    ['dueFrom', '2026-02-30'],
    ['dueTo', '2026-13-01'],
    ['dueTo', '0000-01-01'],
    ['limit', '0'],
    ['limit', '101'],
    ['limit', '1.5'],
    ['limit', '1e1000'],
    ['cursor', ''],
    ['cursor', 'nonsense'],
    ['cursor', `'; drop table bills; --`],
    ['cursor', 'A'.repeat(201)],
    ['page', '2'],
    ['userId', newId('usr')],
    ['__proto__', 'x'],
  ])('%s=%s', async (field, value) => {
    const url = `/bills?${encodeURIComponent(field)}=${encodeURIComponent(value)}`
    const reply = await person.get(url)
    expect(reply.statusCode).toBe(400)
    expect(reply.headers['content-type']).toMatch('application/problem+json')
    expect(reply.json()).toMatchObject({
      code: 'VALIDATION_FAILED',
      errors: [{ in: 'query', field }],
    })
  })

  test('a range of dates that ends before it begins names dueTo', async () => {
    const reply = await person.get('/bills', { dueFrom: '2026-02-02', dueTo: '2026-02-01' })
    expect(reply.statusCode).toBe(400)
    expect(reply.json()).toMatchObject({ errors: [{ in: 'query', field: 'dueTo' }] })
  })

  test('a cursor that was changed anywhere, is of other filters or of another person', async () => {
    await account(
      world.database,
      person,
      months(4).map((month) => bill(month)),
    )
    const query = { limit: '2', utility: 'electricity' }
    const { nextCursor } = await list(query)
    const cursor = nextCursor ?? ''
    const refused = async (as: Person, changed: Record<string, string>) => {
      const reply = await as.get('/bills', { ...query, ...changed })
      expect(reply.statusCode).toBe(400)
      expect(reply.json()).toMatchObject({ errors: [{ in: 'query', field: 'cursor' }] })
    }
    for (let index = 0; index < cursor.length; index += 1) {
      const changed = cursor[index] === 'A' ? 'B' : 'A'
      await refused(person, { cursor: cursor.slice(0, index) + changed + cursor.slice(index + 1) })
    }
    await refused(person, { cursor: `${cursor}A` })
    await refused(person, { cursor: cursor.slice(0, -1) })
    await refused(person, { cursor, state: 'open' })
    await refused(person, { cursor, utility: 'water' })
    await refused(world.person(), { cursor })

    expect((await list({ ...query, cursor, limit: '1' })).items).toHaveLength(1)
  })

  test('without a token, or with one for another service, it is a 401', async () => {
    expect((await world.app.inject('/bills')).statusCode).toBe(401)
    const headers = { authorization: 'Bearer e30.e30.e30' }
    expect((await world.app.inject({ url: '/bills', headers })).statusCode).toBe(401)
  })
})
